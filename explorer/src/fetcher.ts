import type { Fetcher } from "@graphiql/toolkit";

// GraphiQL's own fetcher asks for plain JSON; this one speaks GraphQL over HTTP, where a refused operation
// is a 400 or 401 whose body says why. So the body is the answer, whatever the status.
export function createFetcher(endpoint: string): Fetcher {
  return async (operation, options) => {
    try {
      const headers = new Headers(options?.headers);
      headers.set("Accept", "application/graphql-response+json, application/json;q=0.9");
      headers.set("Content-Type", "application/json");
      const response = await fetch(endpoint, { method: "POST", headers, body: JSON.stringify(operation) });
      return read(response.status, await response.text());
    } catch (error) {
      return failure(`No answer. ${error}`);
    }
  };
}

function read(status: number, body: string) {
  try {
    return JSON.parse(body);
  } catch {
    return failure(`HTTP ${status}, and not in JSON: ${body || "(empty)"}`); // a proxy's, most likely
  }
}

function failure(message: string) {
  return { errors: [{ message }] };
}
