// Relay's environment: how operations reach the gateway, and the store of one caller.
import { failureOf, GatewayError, type GraphQLErrorLike, type Problem, problemOf } from "example-common";
import { createClient } from "graphql-sse";
import {
  Environment,
  type FetchFunction,
  type GraphQLResponse,
  Network,
  Observable,
  RecordSource,
  type RequestParameters,
  Store,
  type SubscribeFunction,
  type Variables,
} from "relay-runtime";

const URL = "/graphql";

interface Answer {
  readonly data?: object | null;
  readonly errors?: readonly GraphQLErrorLike[];
}

/** Documents of the production build are sent by their id, all others as text. */
function bodyOf({ id, text }: RequestParameters, variables: Variables) {
  return id ? { documentId: `sha256:${id}`, variables } : { query: text, variables };
}

/**
 * Make an environment for a caller, whose `headers` it sends with each operation.
 *
 * `onProblem` gets each error of each answer. An operation fails with a GatewayError if nothing is left
 * of its answer. One with some data and some errors is stored: `@catch` reads its errors.
 */
export function createEnvironment(
  headers: Record<string, string>,
  onProblem: (problem: Problem) => void,
): Environment {
  const checked = (answer: Answer): GraphQLResponse => {
    answer.errors?.map(problemOf).forEach(onProblem);
    const failure = failureOf(answer);
    if (failure) throw new GatewayError(failure);
    return answer as GraphQLResponse;
  };

  const fetchAnswer: FetchFunction = (request, variables) =>
    Observable.create((sink) => {
      const controller = new AbortController();
      const send = async () => {
        const response = await fetch(URL, {
          method: "POST",
          headers: { "Content-Type": "application/json", ...headers },
          body: JSON.stringify(bodyOf(request, variables)),
          signal: controller.signal,
        });
        sink.next(checked(await response.json()));
        sink.complete();
      };
      send().catch((error: unknown) => controller.signal.aborted || sink.error(toError(error)));
      return () => controller.abort();
    });

  // Subscribes again by itself when the connection is lost or the gateway's replica stops.
  const events = createClient({ url: URL, headers });

  const subscribe: SubscribeFunction = (request, variables) =>
    Observable.create((sink) =>
      // Its types know documents as text only.
      events.subscribe<object>(bodyOf(request, variables) as { query: string }, {
        next: (answer) => {
          try {
            sink.next(checked(answer as Answer));
          } catch (error) {
            sink.error(toError(error));
          }
        },
        error: (error) => sink.error(toError(error)),
        complete: () => sink.complete(),
      }),
    );

  return new Environment({
    network: Network.create(fetchAnswer, subscribe),
    store: new Store(new RecordSource()),
  });
}

function toError(error: unknown): Error {
  return error instanceof Error ? error : new Error("The connection failed.");
}
