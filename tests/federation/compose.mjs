// Composes subgraphs into a supergraph and prints, as JSON, what came of it.
import { readFileSync } from "node:fs";
import { composeServices } from "@apollo/composition";
import { parse } from "graphql";

const subgraphs = process.argv.slice(2).map((argument) => {
  const [, name, url, path] = argument.match(/^([^=]+)=(.+)=([^=]+)$/) ?? [];
  if (!path) {
    console.error("usage: node compose.mjs <name>=<url>=<path of the SDL> ...");
    process.exit(2);
  }
  return { name, url, typeDefs: parse(readFileSync(path, "utf8")) };
});

const { supergraphSdl, errors, hints } = composeServices(subgraphs);
const told = (problem) => ({ code: problem.extensions.code, message: problem.message });
console.log(
  JSON.stringify({
    supergraphSdl: supergraphSdl ?? null,
    errors: (errors ?? []).map(told),
    hints: (hints ?? []).map(({ definition, message }) => ({ code: definition.code, message })),
  }),
);
