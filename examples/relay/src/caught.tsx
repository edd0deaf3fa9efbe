// What `@catch` makes of a field: its value, or the errors instead of it.
import { type GraphQLErrorLike, ProblemNotice, problemOf } from "example-common";

export type Caught<Value> = { ok: true; value: Value } | { ok: false; errors: ReadonlyArray<unknown> };

export function valueOf<Value>(part: Caught<Value> | null | undefined): Value | null {
  return part?.ok ? part.value : null;
}

interface Props {
  readonly subject: string;
  readonly part: Caught<unknown> | null | undefined;
  readonly onRetry: () => void;
}

/** Says what is missing, and why; nothing if the field has its value. */
export function Missing({ subject, part, onRetry }: Props) {
  if (!part || part.ok) return null;
  const problem = problemOf(part.errors[0] as GraphQLErrorLike);
  return <ProblemNotice problem={problem} subject={subject} onRetry={onRetry} />;
}
