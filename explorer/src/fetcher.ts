import type { Fetcher } from "@graphiql/toolkit";

// GraphiQL's own fetcher accepts plain JSON only. This one speaks GraphQL over HTTP, where a rejected operation is
// a 400 or 401 with errors in its body, so the body is shown whatever the status.
export function createFetcher(endpoint: string): Fetcher {
  return async (operation, options) => {
    try {
      const headers = new Headers(options?.headers);
      headers.set("Accept", "application/graphql-response+json, application/json;q=0.9");
      headers.set("Content-Type", "application/json");
      const response = await fetch(endpoint, { method: "POST", headers, body: JSON.stringify(operation) });
      return read(response.status, await response.text());
    } catch (error) {
      return failure(`No response. ${error}`);
    }
  };
}

function read(status: number, body: string) {
  try {
    return JSON.parse(body);
  } catch {
    return failure(`HTTP ${status} without JSON: ${body || "(empty)"}`); // most likely from a proxy
  }
}

function failure(message: string) {
  return { errors: [{ message }] };
}
