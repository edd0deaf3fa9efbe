// What both examples tell Vite: pages and API have one origin, as behind a load balancer in production.
import type { UserConfig } from "vite";

const proxy = { "/graphql": process.env.GATEWAY_URL ?? "http://127.0.0.1:8000" };

// A policy for production: no inline script, no inline style, no other host.
const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

export const common: UserConfig = {
  publicDir: "../common/public",
  server: { host: "127.0.0.1", proxy },
  preview: {
    host: "127.0.0.1",
    proxy,
    headers: {
      "Content-Security-Policy": contentSecurityPolicy,
      "Referrer-Policy": "no-referrer",
      "X-Content-Type-Options": "nosniff",
    },
  },
  build: {
    assetsInlineLimit: 0, // files of the same origin instead of data: URLs
    chunkSizeWarningLimit: 700, // kB
    rolldownOptions: { checks: { bundlerTimings: false } },
  },
};
