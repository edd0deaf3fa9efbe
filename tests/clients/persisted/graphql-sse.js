// graphql-sse's client with the id of a document: what it is told first.
import { createClient } from "graphql-sse";
import { recorded } from "../requests.js";

export default async function run({ url, headers, arn, documentId }) {
  const { fetch, requests } = recorded();
  const client = createClient({ url, headers, fetchFn: fetch, retryAttempts: 0 });
  for await (const { errors } of client.iterate({ documentId, variables: { arn } })) {
    return { message: errors[0].message, code: errors[0].extensions.code, requests };
  }
}
