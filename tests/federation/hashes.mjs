// Sends a query as Apollo Gateway and as Hive Gateway do with automatic persisted queries on, which
// look for PersistedQueryNotFound only. Prints what each gets as JSON.
import { RemoteGraphQLDataSource } from "@apollo/gateway";
import { createGatewayRuntime } from "@graphql-hive/gateway-runtime";

const [url, query] = process.argv.slice(2);
if (!query) {
  console.error("usage: node hashes.mjs <url of the subgraph> <query>");
  process.exit(2);
}

const apollo = new RemoteGraphQLDataSource({ url, apq: true });
const { http, ...byApollo } = await apollo.process({ request: { query }, context: {} });

const hive = createGatewayRuntime({ proxy: { endpoint: url, apq: true }, logging: false });
const response = await hive.fetch("http://localhost/graphql", {
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify({ query }),
});
console.log(JSON.stringify({ apollo: byApollo, hive: await response.json() }));
process.exit(0);
