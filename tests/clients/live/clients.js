// Functions that make a client for a URL and a caller's headers.
import apollo from "./apollo.js";
import graphqlSse from "./graphql-sse.js";
import relay from "./relay.js";
import urql from "./urql.js";

export const clients = {
  apollo,
  "graphql-sse": graphqlSse,
  "graphql-sse without retries": (url, headers) => graphqlSse(url, headers, { retryAttempts: 0 }),
  relay,
  urql,
};

export const failure = ({ name, message, errors, graphQLErrors, source, response }) => ({
  name,
  message,
  codes: (errors ?? graphQLErrors ?? source?.errors ?? []).map(({ extensions }) => extensions?.code),
  status: response?.status,
});
