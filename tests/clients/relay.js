// Relay's runtime with what its compiler made of relay-query.js.
import relay from "relay-runtime";

const { createOperationDescriptor, Environment, fetchQuery, Network, RecordSource, Store } = relay;

export default async function run({ url, headers, variables, artifacts }) {
  const artifact = async (name) => (await import(`${artifacts}/${name}.graphql.js`)).default;
  const query = await artifact("relayQuery");
  const again = await artifact("relayQueryAgainQuery");
  const send = async ({ text }, variables) => {
    const response = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify({ query: text, variables }),
    });
    return response.json();
  };
  const environment = new Environment({
    network: Network.create(send),
    store: new Store(new RecordSource()),
  });
  environment.retain(createOperationDescriptor(query, variables));
  let connection;
  do {
    const after = connection?.pageInfo.endCursor;
    const data = await fetchQuery(environment, query, { ...variables, after }).toPromise();
    connection = data.audienceGenerationJobs;
  } while (connection.pageInfo.hasNextPage);
  const nodes = connection.edges.map(({ node }) => node);
  const { node } = await fetchQuery(environment, again, { id: nodes[0].id }).toPromise();
  return { ids: nodes.map(({ id }) => id), refetched: node.id };
}
