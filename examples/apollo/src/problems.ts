import { CombinedGraphQLErrors, CombinedProtocolErrors, type ErrorLike } from "@apollo/client";
import { type GraphQLErrorLike, type Problem, problemOf, toProblem } from "example-common";

/** The errors of an answer, or of a subscription that the gateway has ended; none if nothing answered. */
export function errorsOf(error: ErrorLike): readonly GraphQLErrorLike[] {
  const isAnswer = CombinedGraphQLErrors.is(error) || CombinedProtocolErrors.is(error);
  return isAnswer ? error.errors : [];
}

/** The problem of an operation that failed. */
export function problemIn(error: ErrorLike): Problem {
  const [first] = errorsOf(error);
  return first ? problemOf(first) : toProblem(error);
}

/** Fetch again. The hook that `refetch` is from returns the error, if there is one again. */
export function fetchAgain(refetch: () => Promise<unknown>): void {
  refetch().catch(() => undefined);
}
