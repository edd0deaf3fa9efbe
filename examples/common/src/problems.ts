// Errors by their public code, and what a person can do about each.

export interface GraphQLErrorLike {
  readonly message: string;
  readonly path?: ReadonlyArray<string | number>;
  readonly extensions?: Readonly<Record<string, unknown>>;
}

export interface Problem {
  /** A code of the gateway's errors, or NETWORK if there was no answer. */
  readonly code: string;
  readonly message: string;
  /** Seconds, if AWS or the gateway gave a hint. */
  readonly retryAfter?: number;
}

/** An answer in which nothing is left. */
export class GatewayError extends Error {
  constructor(readonly problem: Problem) {
    super(problem.message);
  }
}

export function problemOf(error: GraphQLErrorLike): Problem {
  const { code, retryAfter } = error.extensions ?? {};
  return {
    code: typeof code === "string" ? code : "INTERNAL",
    message: error.message,
    ...(typeof retryAfter === "number" && { retryAfter }),
  };
}

/** The problem of an answer in which nothing is left; null if there is something to show. */
export function failureOf(answer: {
  readonly data?: object | null | undefined;
  readonly errors?: readonly GraphQLErrorLike[] | undefined;
}): Problem | null {
  const [error] = answer.errors ?? [];
  const isEmpty = Object.values(answer.data ?? {}).every((field) => field === null);
  return error && isEmpty ? problemOf(error) : null;
}

/** The problem of an operation that failed: a new object each time. */
export function toProblem(error: unknown): Problem {
  if (error instanceof GatewayError) return { ...error.problem };
  return { code: "NETWORK", message: "The gateway did not answer." };
}

export interface Advice {
  readonly title: string;
  readonly text: string;
  /** Whether the page tries again by itself, on request, or not at all. */
  readonly retry: "automatic" | "button" | "none";
}

const ADVICE: Record<string, Advice> = {
  UNAUTHENTICATED: {
    title: "Sign in again",
    text: "The credentials have expired or were not accepted. What is shown stays until you sign in.",
    retry: "none",
  },
  FORBIDDEN: {
    title: "Not allowed",
    text: "These credentials lack a permission. Ask for cleanrooms-ml:List* and cleanrooms-ml:Get*.",
    retry: "none",
  },
  THROTTLED: {
    title: "AWS asks for a pause",
    text: "There were too many calls in a short time. The page tries again by itself.",
    retry: "automatic",
  },
  OVERLOADED: {
    title: "The gateway is busy",
    text: "The page tries again by itself.",
    retry: "automatic",
  },
  LIMIT_EXCEEDED: {
    title: "Too much at once",
    text: "The list is too long to be sorted. Filter it by a model (open a job), or return to AWS's order.",
    retry: "none",
  },
  NOT_FOUND: { title: "Not found", text: "The job no longer exists.", retry: "none" },
  INVALID_CURSOR: {
    title: "The list has changed",
    text: "Load it again from the start.",
    retry: "button",
  },
  UPSTREAM_TIMEOUT: { title: "AWS did not answer in time", text: "", retry: "button" },
  UPSTREAM_UNAVAILABLE: { title: "AWS cannot be reached", text: "", retry: "button" },
  NETWORK: {
    title: "No connection to the gateway",
    text: "The page tries again by itself.",
    retry: "automatic",
  },
};

export function adviceFor(problem: Problem): Advice {
  return ADVICE[problem.code] ?? { title: "Something went wrong", text: "", retry: "button" };
}
