// What the routers have in common: the headers of callers, and the arguments.
export const PROPAGATED = [
  "x-aws-access-key-id",
  "x-aws-secret-access-key",
  "x-aws-session-token",
  "authorization",
];

export function readArguments(script) {
  const [source, trusted] = process.argv.slice(2);
  if (!trusted) {
    console.error(`usage: node ${script} <path of the supergraph, or URL of the endpoint> <subgraph to trust>`);
    process.exit(2);
  }
  return [source, trusted];
}
