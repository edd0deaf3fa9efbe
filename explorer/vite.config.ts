// Builds GraphiQL into gateway/http/explorer/, which gateway/http/graphiql.py serves. Editor workers, fonts and icons
// are included, so that the page never calls another host and a strict policy can forbid it.
import { defineConfig } from "vite";

export default defineConfig({
  base: "./", // the gateway may be served below a path
  logLevel: "warn",
  build: {
    assetsInlineLimit: 0, // files of the same origin instead of data: URLs
    chunkSizeWarningLimit: 4000, // kB: the editor, which loads after the page
    rolldownOptions: {
      checks: { moduleLevelDirective: false }, // many packages contain "use client", which has no effect here
    },
  },
  worker: { format: "es" }, // the GraphQL worker imports its formatter on demand
});
