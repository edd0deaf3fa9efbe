// Relay's runtime with the network of README.md, and what its compiler made of relay-*.js.
import query from "examples/artifacts/relayQuery.graphql.js";
import subscription from "examples/artifacts/relaySubscription.graphql.js";
import { createNetwork } from "examples/relay.js";
import { Environment, fetchQuery, RecordSource, requestSubscription, Store } from "relay-runtime";

export default function connect(url, headers) {
  const send = async ({ text }, variables) => {
    const body = JSON.stringify({ query: text, variables });
    const options = { method: "POST", headers: { "content-type": "application/json", ...headers }, body };
    return (await fetch(url, options)).json();
  };
  const environment = new Environment({
    network: createNetwork(url, headers, send),
    store: new Store(new RecordSource()),
  });
  return {
    query: (_, variables) => fetchQuery(environment, query, variables).toPromise(),
    subscribe(_, variables, { next, error, complete }) {
      const options = { subscription, variables, onNext: next, onError: error, onCompleted: complete };
      const { dispose } = requestSubscription(environment, options);
      return dispose;
    },
  };
}
