// graphql-sse's client as it comes. It sends queries over streams as well.
import { createClient } from "graphql-sse";

export default function connect(url, headers, options) {
  const client = createClient({ url, headers, ...options });
  return {
    async query(query, variables) {
      for await (const { data } of client.iterate({ query, variables })) return data;
    },
    subscribe(query, variables, { next, error, complete }) {
      return client.subscribe(
        { query, variables },
        { next: (result) => (result.errors ? error(result) : next(result.data)), error, complete },
      );
    },
  };
}
