import { defineConfig, useHttpCache } from "@graphql-hive/gateway";

// The response cache would say at each miss that --jit has replaced its executor, which it survives: a line
// per request would slow it down.
console.warn = () => {};

const CACHE_SECONDS = Number(process.env.CACHE_SECONDS);

const caches = {
  cache: { type: "localforage" },
  responseCaching: { session: () => null, ttl: 1000 * CACHE_SECONDS },
  // Keeps pages for as long as the upstream's Cache-Control says.
  plugins: (context) => [useHttpCache(context)],
};

export const gatewayConfig = defineConfig({
  logging: "error",
  pollingInterval: 0,
  transportEntries: { "*": { location: process.env.UPSTREAM_URL } },
  ...(CACHE_SECONDS > 0 ? caches : {}),
});
