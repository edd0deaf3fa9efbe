// Links that carry a query and its variables in the fragment of the address, which browsers send to no server.
// Headers are never part of one.

export type Shared = {
  query: string;
  variables: string; // JSON, or empty
};

export const MAX_CHARACTERS = 32_768;
export const DAMAGED = "This link has no valid query: it is damaged, incomplete or not made by this page.";
export const TOO_LONG = `The query is too long for a link. Accepted: up to ${MAX_CHARACTERS.toLocaleString("en")} characters.`;
export const UNPRINTABLE = "The query has control characters, which a link may not have.";

const PREFIX = "#share=";

// Control characters, and those that show a text in another order than it has.
const CONTROL = /[^\P{Cc}\t\n\r]|[\u202a-\u202e\u2066-\u2069]/u;

export function isLink(fragment: string): boolean {
  return fragment.startsWith(PREFIX);
}

// Throws an Error whose message is for users.
export function toFragment({ query, variables }: Shared): string {
  if (CONTROL.test(query + variables)) throw new Error(UNPRINTABLE);
  const fragment = PREFIX + encode(JSON.stringify({ query, variables }));
  if (fragment.length > MAX_CHARACTERS) throw new Error(TOO_LONG);
  return fragment;
}

// Throws an Error whose message is for users.
export function fromFragment(fragment: string): Shared {
  if (fragment.length > MAX_CHARACTERS) throw new Error(TOO_LONG);
  let content: unknown;
  try {
    content = JSON.parse(decode(fragment.slice(PREFIX.length)));
  } catch {
    throw new Error(DAMAGED);
  }
  if (!isShared(content)) throw new Error(DAMAGED);
  return content;
}

function isShared(content: unknown): content is Shared {
  if (typeof content !== "object" || content === null) return false;
  const { query, variables, ...others } = content as Record<string, unknown>;
  if (typeof query !== "string" || typeof variables !== "string" || Object.keys(others).length) return false;
  return query.trim() !== "" && !CONTROL.test(query + variables);
}

// Base64url, which chats and terminals do not cut or escape.
function encode(text: string): string {
  const bytes = new TextEncoder().encode(text);
  const binary = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

function decode(text: string): string {
  if (!/^[\w-]+$/.test(text)) throw new Error(DAMAGED);
  const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  const bytes = Uint8Array.from(binary, (character) => character.charCodeAt(0));
  return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
}
