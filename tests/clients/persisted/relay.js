// Relay's runtime with the ids that its compiler has written to a manifest, and no texts.
import { createClient } from "graphql-sse";
import relay from "relay-runtime";
import { recorded } from "../requests.js";

const { Environment, fetchQuery, Network, Observable, RecordSource, requestSubscription, Store } = relay;

export default async function run({ url, headers, arn, artifacts }) {
  const { fetch, requests } = recorded();
  const artifact = async (name) => (await import(`${artifacts}/${name}.graphql.js`)).default;
  const send = async ({ id, text }, variables) => {
    const response = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify({ documentId: id, query: text, variables }),
    });
    return response.json();
  };
  const sse = createClient({ url, headers, fetchFn: fetch });
  const subscribe = ({ id }, variables) =>
    Observable.create((sink) => sse.subscribe({ documentId: id, variables }, sink));
  const environment = new Environment({
    network: Network.create(send, subscribe),
    store: new Store(new RecordSource()),
  });
  const query = await artifact("relayQuery");
  const pages = [];
  for (const first of [2, 3]) {
    const data = await fetchQuery(environment, query, { first }).toPromise();
    pages.push(data.audienceGenerationJobs.edges.map(({ node }) => node.id));
  }
  const subscription = await artifact("relaySubscription");
  const watched = await new Promise((onNext, onError) => {
    requestSubscription(environment, { subscription, variables: { arn }, onNext, onError });
  });
  return { pages, watched: watched.audienceGenerationJob.id, requests };
}
