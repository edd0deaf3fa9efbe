// What is kept of the answers: each object once, by its type and id, and what has no id within its object.
import { InMemoryCache, type Reference } from "@apollo/client";
import type { FieldMergeFunction, FieldPolicy } from "@apollo/client/cache";
import { type RelayFieldPolicy, relayStylePagination } from "@apollo/client/utilities";

export function createCache(): InMemoryCache {
  return new InMemoryCache({
    typePolicies: {
      Query: {
        fields: {
          // Each model, filter and order has a list of its own, of which the pages are joined.
          audienceGenerationJobs: withoutRepeats(
            relayStylePagination(["configuredAudienceModelArn", "filter", "orderBy"]),
          ),
        },
      },
    },
  });
}

/**
 * Show an object once, in the place where it was seen last: one that moves while pages are loaded, such
 * as a job that is updated in a list by update time, is on two of them.
 */
function withoutRepeats({ merge, ...policy }: RelayFieldPolicy<Reference>): FieldPolicy {
  const join = merge as FieldMergeFunction;
  return {
    ...policy,
    merge(existing, incoming, options) {
      const list = join(existing, incoming, options);
      const edges = new Map<unknown, unknown>();
      for (const edge of list.edges) {
        const id = options.readField("id", options.readField<Reference>("node", edge));
        edges.delete(id);
        edges.set(id, edge);
      }
      return { ...list, edges: [...edges.values()] };
    },
  };
}
