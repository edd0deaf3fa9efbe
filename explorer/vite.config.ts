// Builds GraphiQL into gateway/http/explorer/, which gateway/http/graphiql.py serves. Everything comes along
// (editor workers, fonts, icons), so that the page never asks another host and a strict policy can say so.
import { defineConfig } from "vite";

export default defineConfig({
  base: "/explorer/",
  logLevel: "warn",
  build: {
    assetsInlineLimit: 0, // files of our own origin instead of data: URLs
    chunkSizeWarningLimit: 4000, // kB: the editor, which loads after the page has drawn
    rolldownOptions: {
      checks: { moduleLevelDirective: false }, // "use client" means nothing here, and many packages say it
    },
  },
  worker: { format: "es" }, // the GraphQL worker imports its formatter when it needs it
});
