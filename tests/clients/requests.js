// What a client sends and receives, and the hash that persisted queries need.

export function recorded() {
  const requests = [];
  const record = async (url, options = {}) => {
    const response = await fetch(url, options);
    const parameters = options.body
      ? JSON.parse(options.body)
      : Object.fromEntries(new URL(url).searchParams);
    requests.push({
      method: options.method ?? "GET",
      hasQuery: Boolean(parameters.query),
      hasHash: JSON.stringify(parameters.extensions ?? "").includes("persistedQuery"),
      hasId: Boolean(parameters.documentId),
      status: response.status,
    });
    return response;
  };
  return { fetch: record, requests };
}

export async function sha256(text) {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
