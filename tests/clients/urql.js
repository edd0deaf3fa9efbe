// urql with persisted queries and its normalized cache's Relay pagination.
import { Client, fetchExchange, gql } from "@urql/core";
import { cacheExchange } from "@urql/exchange-graphcache";
import { relayPagination } from "@urql/exchange-graphcache/extras";
import { persistedExchange } from "@urql/exchange-persisted";
import { recorded } from "./requests.js";

const jobs = (name) => gql`
  query ${name}($first: Int!, $after: String, $filter: AudienceGenerationJobFilter) {
    audienceGenerationJobs(first: $first, after: $after, filter: $filter) {
      edges { cursor node { id name } }
      pageInfo { hasNextPage endCursor }
    }
  }
`;

export default async function run({ url, headers, variables, name, preferGetForPersistedQueries }) {
  const JOBS = jobs(name);
  const { fetch, requests } = recorded();
  const client = new Client({
    url,
    fetch,
    fetchOptions: { headers },
    exchanges: [
      cacheExchange({ resolvers: { Query: { audienceGenerationJobs: relayPagination() } } }),
      persistedExchange({ preferGetForPersistedQueries }),
      fetchExchange,
    ],
  });
  let connection;
  const sizes = [];
  do {
    const after = connection?.pageInfo.endCursor;
    const { data, error } = await client.query(JOBS, { ...variables, after }).toPromise();
    if (error) throw error;
    connection = data.audienceGenerationJobs;
    sizes.push(connection.edges.length);
    // The cache keeps the last cursor of a page without edges, so the next request would repeat.
    if (sizes.length > 1 && sizes.at(-1) === sizes.at(-2)) break;
  } while (connection.pageInfo.hasNextPage);
  return { ids: connection.edges.map(({ node }) => node.id), sizes, requests };
}
