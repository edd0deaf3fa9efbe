import { tryParseJSONC } from "@graphiql/react";

import type { HeaderSet } from "./page";

type Headers = Record<string, unknown>;

// A request has those of one scheme only.
const CREDENTIALS = ["authorization", "x-aws-access-key-id", "x-aws-secret-access-key", "x-aws-session-token"];

// Values in a template. They are not sent: the gateway rejects a request with incomplete credentials, and serves the
// schema to one without.
const BLANKS = ["", "Bearer"];

export function isBlank(value: unknown): boolean {
  return typeof value === "string" && BLANKS.includes(value.trim());
}

export function hasBlanks(headers: Headers): boolean {
  return Object.values(headers).some(isBlank);
}

export function parseHeaders(text: string): Headers | undefined {
  try {
    return (tryParseJSONC(text) as Headers | undefined) ?? {};
  } catch {
    return undefined; // GraphiQL says what is wrong when the query runs
  }
}

export function formatHeaders(headers: Headers): string {
  return Object.keys(headers).length ? JSON.stringify(headers, null, 2) : "";
}

// Returns the set that headers are of; what is blank in the set may have any value.
export function findSet(sets: HeaderSet[], headers: Headers): HeaderSet | undefined {
  return sets.find((set) => {
    const own = credentialsIn(headers);
    const names = Object.keys(set.headers);
    return names.length === Object.keys(own).length && names.every((name) => fits(set.headers[name], own[name]));
  });
}

// Returns headers with the credentials of a set, or none, instead of those of any other.
export function replaceSet(headers: Headers, set: HeaderSet | undefined): Headers {
  const credentials = credentialsIn(headers);
  const others = Object.entries(headers).filter(([name]) => !(name in credentials));
  return { ...set?.headers, ...Object.fromEntries(others) };
}

export function credentialsIn(headers: Headers): Headers {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => CREDENTIALS.includes(name.toLowerCase())));
}

function fits(expected: string, value: unknown): boolean {
  return isBlank(expected) ? value !== undefined : value === expected;
}
