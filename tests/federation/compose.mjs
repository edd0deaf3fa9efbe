// Composes graphs by the named compositions. Reads, as JSON, the subgraphs of each graph, and prints
// what came of each: { graph: { composition: { supergraph, api, errors, hints } } }.
import { json } from "node:stream/consumers";
import { parse, printSchema } from "graphql";

const told = ({ message, extensions }) => ({ code: extensions?.code ?? null, message });

const COMPOSITIONS = {
  async apollo(subgraphs) {
    const { composeServices } = await import("@apollo/composition");
    const { schema, supergraphSdl, errors, hints } = composeServices(subgraphs);
    return {
      supergraph: supergraphSdl,
      api: schema && printSchema(schema.toAPISchema().toGraphQLJSSchema()),
      errors: errors?.map(told),
      hints: hints?.map(({ definition, message }) => ({ code: definition.code, message })),
    };
  },

  async guild(subgraphs) {
    const { composeServices } = await import("@theguild/federation-composition");
    const { supergraphSdl, publicSdl, errors } = composeServices(subgraphs);
    return { supergraph: supergraphSdl, api: publicSdl, errors: errors?.map(told) };
  },

  async cosmo(subgraphs) {
    const { federateSubgraphs, LATEST_ROUTER_COMPATIBILITY_VERSION } = await import("@wundergraph/composition");
    const { federatedGraphClientSchema, errors, warnings } = federateSubgraphs({
      subgraphs: subgraphs.map(({ typeDefs, ...subgraph }) => ({ ...subgraph, definitions: typeDefs })),
      version: LATEST_ROUTER_COMPATIBILITY_VERSION,
    });
    return {
      api: federatedGraphClientSchema && printSchema(federatedGraphClientSchema),
      errors: errors?.map(told),
      hints: warnings.map(told),
    };
  },
};

const compositions = process.argv.slice(2);
const graphs = await json(process.stdin);
const results = {};
for (const [graph, subgraphs] of Object.entries(graphs)) {
  results[graph] = {};
  for (const name of compositions) {
    // Each parses the texts itself: compositions change the documents that they are given.
    const parsed = subgraphs.map(({ sdl, ...subgraph }) => ({ ...subgraph, typeDefs: parse(sdl) }));
    const { supergraph = null, api = null, errors = [], hints = [] } = await COMPOSITIONS[name](parsed);
    results[graph][name] = { supergraph, api, errors, hints };
  }
}
console.log(JSON.stringify(results));
