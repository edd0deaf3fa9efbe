// Sends a query twice as Apollo Gateway and as Hive Gateway do with automatic persisted queries on,
// which look for PersistedQueryNotFound only. Prints what each gets as JSON.
import { RemoteGraphQLDataSource } from "@apollo/gateway";
import { createGatewayRuntime } from "@graphql-hive/gateway-runtime";

const [url, query, headersAsJson] = process.argv.slice(2);
if (!headersAsJson) {
  console.error("usage: node hashes.mjs <url of the subgraph> <query> <headers as JSON>");
  process.exit(2);
}
const credentials = JSON.parse(headersAsJson);

class Authenticated extends RemoteGraphQLDataSource {
  willSendRequest({ request }) {
    for (const [name, value] of Object.entries(credentials)) request.http.headers.set(name, value);
  }
}

const apollo = new Authenticated({ url, apq: true });
async function sendByApollo() {
  const { http, ...result } = await apollo.process({ request: { query }, context: {} });
  return result;
}

const hive = createGatewayRuntime({
  proxy: { endpoint: url, apq: true },
  propagateHeaders: { fromClientToSubgraphs: () => credentials },
  logging: false,
});
async function sendByHive() {
  const response = await hive.fetch("http://localhost/graphql", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ query }),
  });
  return response.json();
}

const twice = async (send) => [await send(), await send()];
console.log(JSON.stringify({ apollo: await twice(sendByApollo), hive: await twice(sendByHive) }));
process.exit(0);
