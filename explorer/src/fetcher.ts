import type { Fetcher, FetcherParams } from "@graphiql/toolkit";
import { type IntrospectionQuery, Kind, type OperationDefinitionNode, parse } from "graphql";
import { createClient } from "graphql-sse";

import { type Answer, errorsOf, type Report, type Result } from "./answers";
import { withoutFederation } from "./federation";
import { isBlank } from "./headers";

type Outcome = { result: Result; answer: Omit<Answer, "milliseconds"> };

type Sink = { next: (result: Result) => void; complete: () => void };

const COST = "X-Gateway-Cost";

// GraphiQL's own fetcher accepts plain JSON only. This one speaks GraphQL over HTTP, where a rejected operation is
// a 400 or 401 with errors in its body, so the body is shown whatever the status. Subscriptions are GraphQL over SSE.
export function createFetcher(endpoint: string, report: Report): Fetcher {
  return async (typed, options) => {
    const operation = withCurrentName(typed);
    const isOfUser = options !== undefined && "documentAST" in options; // GraphiQL itself asks for the schema
    try {
      const headers = toHeaders(options?.headers ?? {});
      if (isSubscription(operation)) return subscription(endpoint, headers, operation, report);
      headers.set("Accept", "application/graphql-response+json, application/json;q=0.9");
      headers.set("Content-Type", "application/json");
      const request = { method: "POST", headers, body: JSON.stringify(operation) };
      if (isOfUser) return await execute(endpoint, request, report);
      const { result } = await read(await fetch(endpoint, request));
      return isSchema(result.data) ? { data: withoutFederation(result.data) } : result;
    } catch (error) {
      const result = failure(`Request not sent. ${error}`); // such as a header that no request can have
      if (isOfUser) report(errorsOf(result));
      return result;
    }
  };
}

function toHeaders(headers: Record<string, unknown>): Headers {
  const filled = Object.entries(headers).filter(([, value]) => !isBlank(value));
  return new Headers(filled.map(([name, value]) => [name, String(value)]));
}

function isSchema(data: unknown): data is IntrospectionQuery {
  return typeof data === "object" && data !== null && "__schema" in data;
}

// GraphiQL parses a moment after the last keystroke or change of the tab, so the name may be that of another document.
function withCurrentName(operation: FetcherParams): FetcherParams {
  const names = operationsIn(operation.query).map(({ name }) => name?.value);
  if (names.length !== 1 || names[0] === operation.operationName) return operation;
  return { ...operation, operationName: names[0] };
}

function isSubscription({ query, operationName }: FetcherParams): boolean {
  const operations = operationsIn(query);
  const chosen = operations.length === 1 ? operations[0] : operations.find(({ name }) => name?.value === operationName);
  return chosen?.operation === "subscription";
}

function operationsIn(query: string): OperationDefinitionNode[] {
  try {
    return parse(query).definitions.filter((each) => each.kind === Kind.OPERATION_DEFINITION);
  } catch {
    return []; // the gateway says what is wrong with the document
  }
}

// The result and its size are those that other clients get, so the cost is in the report alone, unless the user's
// headers ask for it.
async function execute(endpoint: string, request: RequestInit & { headers: Headers }, report: Report): Promise<Result> {
  const showsCost = request.headers.has(COST);
  request.headers.set(COST, "1");
  const start = performance.now();
  const { result, answer } = await fetch(endpoint, request).then(read, noResponse);
  const milliseconds = performance.now() - start;
  const { extensions } = result;
  if (showsCost || !extensions?.cost) {
    report({ ...answer, milliseconds, cost: extensions?.cost });
    return result;
  }
  const costBytes = sizeOf({ data: null, extensions }) - sizeOf(withoutCost({ data: null, extensions }));
  report({ ...answer, milliseconds, bytes: answer.bytes! - costBytes, cost: extensions.cost });
  return withoutCost(result);
}

function withoutCost({ extensions, ...result }: Result): Result {
  const { cost: _, ...others } = extensions!;
  return Object.keys(others).length ? { ...result, extensions: others } : result;
}

function sizeOf(result: Result): number {
  return bytesOf(JSON.stringify(result));
}

function bytesOf(text: string): number {
  return new TextEncoder().encode(text).length;
}

async function read(response: Response): Promise<Outcome> {
  const { status } = response;
  const body = await response.text();
  const result = parseResult(body) ?? failure(`HTTP ${status} without JSON: ${body || "(empty)"}`); // of a proxy
  return { result, answer: { status, bytes: bytesOf(body), ...errorsOf(result) } };
}

function parseResult(body: string): Result | undefined {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}

function noResponse(error: unknown): Outcome {
  const result = failure(`No response. ${error}`);
  return { result, answer: errorsOf(result) };
}

function failure(message: string): Result {
  return { errors: [{ message }] };
}

// GraphiQL shows the results of an observable one after the other, until its stop button unsubscribes.
function subscription(
  endpoint: string,
  headers: Headers,
  { operationName, ...operation }: FetcherParams,
  report: Report,
) {
  function subscribe(sink: Sink) {
    const stream = new Stream(report);
    let isStopped = false; // the client completes a while after it was stopped, when GraphiQL may run something else
    const client = createClient({ url: endpoint, headers: Object.fromEntries(headers), fetchFn: stream.open });
    const request = { ...operation, operationName: operationName ?? undefined };
    const stop = client.subscribe(request, {
      next: (result) => {
        if (isStopped) return;
        stream.count(result as Result);
        sink.next(result as Result);
      },
      complete: () => {
        if (isStopped) return;
        stream.end();
        sink.complete();
      },
      error: (error) => {
        if (isStopped) return;
        const result = failure(`Connection lost. ${error}`);
        stream.fail(result);
        sink.next(result);
        sink.complete();
      },
    });
    return {
      unsubscribe() {
        isStopped = true;
        stream.end();
        stop();
      },
    };
  }
  return { subscribe };
}

// The responses to a subscription, of which the client takes one for another.
//
// The client retries whatever is not a stream. This is right for a stream that broke off, as in a restart of the
// gateway. Before it had begun, and when the gateway rejects the operation, the reason is shown at once.
class Stream {
  private answer?: Answer; // undefined: the stream has not begun
  private isRejected = false;

  constructor(private readonly report: Report) {}

  open: typeof fetch = async (url, init) => {
    const start = performance.now();
    let outcome: Outcome;
    try {
      const response = await fetch(url, init);
      const isStream = response.headers.get("Content-Type")?.startsWith("text/event-stream");
      if (isStream || (this.answer && response.status >= 500)) {
        this.begin(response.status);
        return withLaterEnd(response);
      }
      outcome = await read(response);
    } catch (error) {
      if (this.answer || init?.signal?.aborted) throw error;
      outcome = noResponse(error);
    }
    this.isRejected = true;
    this.report({ ...outcome.answer, milliseconds: performance.now() - start });
    return streamOf(outcome.result);
  };

  count(result: Result): void {
    if (this.isRejected || !this.answer) return;
    this.update({ ...this.answer, ...errorsOf(result), events: this.answer.events! + 1 });
  }

  fail(result: Result): void {
    if (this.answer) this.update({ ...this.answer, ...errorsOf(result), status: undefined });
    this.end();
  }

  end(): void {
    if (this.answer?.isLive) this.update({ ...this.answer, isLive: false });
  }

  private begin(status: number): void {
    this.update({ errors: 0, codes: [], events: 0, ...this.answer, status, isLive: true });
  }

  private update(answer: Answer): void {
    this.answer = answer;
    this.report(answer);
  }
}

function streamOf(result: Result): Response {
  return new Response(`event: next\ndata: ${JSON.stringify(result)}\n\nevent: complete\ndata:\n\n`);
}

// The client overlooks an end that arrives together with an event, and would wait for ever.
function withLaterEnd(response: Response): Response {
  const delay = new TransformStream({ flush: () => new Promise((resolve) => setTimeout(resolve)) });
  return new Response(response.body?.pipeThrough(delay), response);
}
