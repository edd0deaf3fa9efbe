import { type Problem, toProblem } from "example-common";
import { useCallback, useEffect, useState } from "react";
import { useRelayEnvironment } from "react-relay";
import { fetchQuery, type GraphQLTaggedNode, type OperationType } from "relay-runtime";

interface QueryState<Variables> {
  /** Of the latest answer that has arrived: read it with `useLazyLoadQuery` and `store-only`. */
  readonly loaded: Variables | null;
  readonly isLoading: boolean;
  readonly problem: Problem | null;
}

/**
 * Fetch a query without suspending: what is shown stays until the answer to new variables is there, and
 * also if that fails. (A query that suspends or throws would take the table away.)
 */
export function useQueryResult<Query extends OperationType>(
  query: GraphQLTaggedNode,
  variables: Query["variables"],
) {
  const environment = useRelayEnvironment();
  const [attempt, setAttempt] = useState(0);
  const [state, setState] = useState<QueryState<Query["variables"]>>({
    loaded: null,
    isLoading: true,
    problem: null,
  });
  const key = JSON.stringify(variables);

  useEffect(() => {
    const variables: Query["variables"] = JSON.parse(key);
    setState((state) => ({ ...state, isLoading: true }));
    const subscription = fetchQuery<Query>(environment, query, variables).subscribe({
      complete: () => setState({ loaded: variables, isLoading: false, problem: null }),
      error: (error: unknown) =>
        setState((state) => ({ ...state, isLoading: false, problem: toProblem(error) })),
    });
    return () => subscription.unsubscribe();
  }, [environment, query, key, attempt]);

  const retry = useCallback(() => setAttempt((attempt) => attempt + 1), []);
  return { ...state, retry };
}
