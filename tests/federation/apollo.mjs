// Apollo Gateway over a supergraph, or over one subgraph whose schema it reads itself. The named
// subgraph is shown the caller's credentials; the others never are. Ends when its stdin does.
import { readFileSync } from "node:fs";
import { ApolloGateway, IntrospectAndCompose, RemoteGraphQLDataSource } from "@apollo/gateway";
import { ApolloServer } from "@apollo/server";
import { startStandaloneServer } from "@apollo/server/standalone";
import { PROPAGATED, readArguments } from "./arguments.mjs";

const [source, trusted] = readArguments("apollo.mjs");

class TrustedSubgraph extends RemoteGraphQLDataSource {
  willSendRequest({ request, context }) {
    for (const name of PROPAGATED) {
      const value = context.headers?.[name];
      if (value !== undefined) request.http.headers.set(name, value);
    }
  }
}

const server = new ApolloServer({
  gateway: new ApolloGateway({
    supergraphSdl: source.startsWith("http")
      ? new IntrospectAndCompose({ subgraphs: [{ name: trusted, url: source }] })
      : readFileSync(source, "utf8"),
    buildService: ({ name, url }) =>
      name === trusted ? new TrustedSubgraph({ url, apq: true }) : new RemoteGraphQLDataSource({ url }),
  }),
  includeStacktraceInErrorResponses: false,
  // Where a subgraph answers 401, Apollo's gateway would show its address and whole answer.
  formatError: ({ extensions: { response, ...extensions } = {}, ...error }) => ({
    ...error,
    extensions,
  }),
});
const { url } = await startStandaloneServer(server, {
  listen: { host: "127.0.0.1", port: 0 },
  context: async ({ req }) => ({ headers: req.headers }),
});
console.log(url.replace(/\/$/, ""));
process.stdin.on("end", () => process.exit(0)).resume();
