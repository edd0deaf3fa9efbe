// Hive Gateway over a supergraph, or before one endpoint whose schema it reads itself. The named
// subgraph is shown the caller's credentials; the others never are. Ends when its stdin does.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createGatewayRuntime } from "@graphql-hive/gateway-runtime";
import { PROPAGATED, readArguments } from "./arguments.mjs";

const [source, trusted] = readArguments("hive.mjs");

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
