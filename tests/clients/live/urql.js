// urql with the exchanges of README.md.
import { filter, onEnd, pipe, subscribe } from "wonka";
import { createUrqlClient } from "examples/urql.js";

export default function connect(url, headers) {
  const client = createUrqlClient(url, headers);
  return {
    async query(query, variables) {
      const { data, error } = await client.query(query, variables).toPromise();
      if (error) throw error;
      return data;
    },
    subscribe(query, variables, { next, error, complete }) {
      const { unsubscribe } = pipe(
        client.subscription(query, variables),
        onEnd(complete),
        // At the end it repeats the last result.
        filter(({ hasNext, error: failure }) => hasNext || failure?.networkError),
        subscribe(({ data, error: failure }) => (failure ? error(failure) : next(data))),
      );
      return unsubscribe;
    },
  };
}
