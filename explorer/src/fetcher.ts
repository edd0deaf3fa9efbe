import type { Fetcher, FetcherParams } from "@graphiql/toolkit";
import { getOperationAST, parse } from "graphql";
import { createClient } from "graphql-sse";

type Result = { data?: unknown; errors?: unknown };
type Sink = { next: (result: Result) => void; complete: () => void };

// GraphiQL's own fetcher accepts plain JSON only. This one speaks GraphQL over HTTP, where a rejected operation is
// a 400 or 401 with errors in its body, so the body is shown whatever the status. Subscriptions are GraphQL over SSE.
export function createFetcher(endpoint: string): Fetcher {
  return async (operation, options) => {
    try {
      const headers = new Headers(options?.headers);
      if (isSubscription(operation)) return subscription(endpoint, headers, operation);
      headers.set("Accept", "application/graphql-response+json, application/json;q=0.9");
      headers.set("Content-Type", "application/json");
      return await read(await fetch(endpoint, { method: "POST", headers, body: JSON.stringify(operation) }));
    } catch (error) {
      return failure(`No response. ${error}`);
    }
  };
}

// GraphiQL passes the parsed document too, but parses a moment after the last keystroke.
function isSubscription({ query, operationName }: FetcherParams): boolean {
  try {
    return getOperationAST(parse(query), operationName)?.operation === "subscription";
  } catch {
    return false; // the gateway says what is wrong with the document
  }
}

// GraphiQL shows the results of an observable one after the other, until its stop button unsubscribes.
function subscription(endpoint: string, headers: Headers, { operationName, ...operation }: FetcherParams) {
  function subscribe(sink: Sink) {
    let isStopped = false; // the client completes a while after it was stopped, when GraphiQL may run something else
    const client = createClient({ url: endpoint, headers: Object.fromEntries(headers), fetchFn: createOpener() });
    const request = { ...operation, operationName: operationName ?? undefined };
    const stop = client.subscribe(request, {
      next: (result) => isStopped || sink.next(result),
      complete: () => isStopped || sink.complete(),
      error: (error) => {
        if (isStopped) return;
        sink.next(failure(`Connection lost. ${error}`));
        sink.complete();
      },
    });
    return {
      unsubscribe() {
        isStopped = true;
        stop();
      },
    };
  }
  return { subscribe };
}

// The client retries whatever is not a stream. This is right for a stream that broke off, as in a restart of the
// gateway. Before it had begun, and when the gateway rejects the operation, the reason is shown at once.
function createOpener(): typeof fetch {
  let hasBegun = false;
  return async (url, init) => {
    try {
      const response = await fetch(url, init);
      const isStream = response.headers.get("Content-Type")?.startsWith("text/event-stream");
      if (isStream || (hasBegun && response.status >= 500)) {
        hasBegun = true;
        return withLaterEnd(response);
      }
      return streamOf(await read(response));
    } catch (error) {
      if (hasBegun || init?.signal?.aborted) throw error;
      return streamOf(failure(`No response. ${error}`));
    }
  };
}

// The client overlooks an end that arrives together with an event, and would wait for ever.
function withLaterEnd(response: Response): Response {
  const delay = new TransformStream({ flush: () => new Promise((resolve) => setTimeout(resolve)) });
  return new Response(response.body?.pipeThrough(delay), response);
}

function streamOf(result: Result): Response {
  return new Response(`event: next\ndata: ${JSON.stringify(result)}\n\nevent: complete\ndata:\n\n`);
}

async function read(response: Response): Promise<Result> {
  const body = await response.text();
  try {
    return JSON.parse(body);
  } catch {
    return failure(`HTTP ${response.status} without JSON: ${body || "(empty)"}`); // most likely from a proxy
  }
}

function failure(message: string): Result {
  return { errors: [{ message }] };
}
