// Hive Gateway over a supergraph, or before one endpoint whose schema it reads itself. The named
// subgraph is shown the caller's credentials; the others never are. Ends when its stdin does.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createGatewayRuntime } from "@graphql-hive/gateway-runtime";

const PROPAGATED = [
  "x-aws-access-key-id",
  "x-aws-secret-access-key",
  "x-aws-session-token",
  "authorization",
];

const [source, trusted] = process.argv.slice(2);
if (!trusted) {
  console.error("usage: node hive.mjs <path of the supergraph, or URL of the endpoint> <subgraph to trust>");
  process.exit(2);
}

const shown = (headers) => PROPAGATED.map((name) => [name, headers.get(name)]).filter(([, value]) => value);
const gateway = createGatewayRuntime({
  ...(source.startsWith("http")
    ? { proxy: { endpoint: source } }
    : { supergraph: readFileSync(source, "utf8") }),
  propagateHeaders: {
    fromClientToSubgraphs: ({ request, subgraphName }) =>
      subgraphName === trusted || source.startsWith("http") ? Object.fromEntries(shown(request.headers)) : {},
  },
  logging: false,
});
const server = createServer(gateway);
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
process.stdin.on("end", () => process.exit(0)).resume();
