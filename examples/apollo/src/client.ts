// How operations reach the gateway. What is kept of the answers is in `cache.ts`.
import { ApolloClient, ApolloLink, HttpLink } from "@apollo/client";
import { ErrorLink } from "@apollo/client/link/error";
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";
import { RetryLink } from "@apollo/client/link/retry";
import { type DocumentNode, getOperationAST, OperationTypeNode } from "graphql";
import { createCache } from "./cache";
import { errorsOf } from "./problems";

/**
 * Make a client, with a cache of its own, for a caller, whose `headers` it sends with each operation.
 *
 * `onUnauthenticated` is called for each answer that does not accept the caller's credentials.
 */
export function createClient(
  headers: Record<string, string>,
  onUnauthenticated: () => void,
): ApolloClient {
  const authentication = new ErrorLink(({ error }) => {
    const codes = errorsOf(error).map(({ extensions }) => extensions?.code);
    if (codes.includes("UNAUTHENTICATED")) onUnauthenticated();
  });
  // Subscribes again when the connection is lost or the gateway's replica stops.
  const retry = new RetryLink({
    attempts: (_count, { operationType }) => operationType === OperationTypeNode.SUBSCRIPTION,
    delay: { max: 10_000 },
  });
  // HttpLink speaks Apollo's multipart protocol for subscriptions by itself.
  const http = new HttpLink({ uri: "/graphql", headers });
  const links = [authentication, retry, ...persistedQueries(), http];
  return new ApolloClient({ link: ApolloLink.from(links), cache: createCache(), dataMasking: true });
}

/** In a production build, documents are sent by their id in the manifest that the build has made. */
function persistedQueries(): ApolloLink[] {
  if (import.meta.env.DEV) return [];
  return [new PersistedQueryLink({ generateHash: idInManifest })];
}

// As `generatePersistedQueryIdsFromManifest` of @apollo/persisted-query-lists does. That is CommonJS,
// and would bring a second Apollo Client into the bundle.
async function idInManifest(document: DocumentNode): Promise<string> {
  const { operations } = await import("../persisted-documents.json");
  const name = getOperationAST(document)?.name?.value;
  const operation = operations.find((operation) => operation.name === name);
  if (!operation) throw new Error(`The manifest has no operation ${name}.`);
  return operation.id;
}
