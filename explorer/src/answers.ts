// What the status bar shows of a response.
export type Answer = {
  status?: number; // undefined: there was no response
  errors: number;
  codes: string[]; // of the errors, each once
  milliseconds?: number; // from sending to the last byte; undefined for a stream
  bytes?: number; // of the body; undefined for a stream
  cost?: Cost; // undefined if the request had no caller
  events?: number; // of a subscription so far
  isLive?: boolean; // whether there may be more
};

// `extensions.cost` of the gateway.
export type Cost = {
  estimate: { pages: number; details: number };
  upstreamCalls: number;
  cacheHits: number;
  retries: number;
  scanned: number;
  awsRequestIds: string[];
};

export type Report = (answer: Answer) => void;

export type Result = {
  data?: unknown;
  errors?: { message: string; extensions?: { code?: string } }[];
  extensions?: { cost?: Cost; errorsOmitted?: number };
};

export function errorsOf({ errors = [], extensions }: Result): Pick<Answer, "errors" | "codes"> {
  const codes = errors.map((error) => error.extensions?.code).filter((code) => code !== undefined);
  return { errors: errors.length + (extensions?.errorsOmitted ?? 0), codes: [...new Set(codes)] };
}

// The bar and the fetcher know each other by this alone: GraphiQL stands between them.
export class Answers {
  private listeners = new Set<Report>();

  report: Report = (answer) => this.listeners.forEach((listener) => listener(answer));

  listen(listener: Report): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }
}
