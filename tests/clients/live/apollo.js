// Apollo Client with the links of README.md.
import { gql } from "@apollo/client";
import { createApolloClient } from "examples/apollo.js";

export default function connect(url, headers) {
  const client = createApolloClient(url, headers);
  return {
    async query(query, variables) {
      const { data } = await client.query({ query: gql(query), variables, fetchPolicy: "no-cache" });
      return data;
    },
    subscribe(query, variables, { next, error, complete }) {
      const results = client.subscribe({ query: gql(query), variables });
      const subscription = results.subscribe({
        next: ({ data, error: failure }) => (failure ? error(failure) : next(data)),
        error,
        complete,
      });
      return () => subscription.unsubscribe();
    },
  };
}
