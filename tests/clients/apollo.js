// Apollo Client with persisted queries, client awareness and Relay pagination, in Node or a browser.
import { ApolloClient, ApolloLink, gql, HttpLink, InMemoryCache } from "@apollo/client";
import { createPersistedQueryLink } from "@apollo/client/link/persisted-queries";
import { relayStylePagination } from "@apollo/client/utilities";
import { filter, firstValueFrom } from "rxjs";
import { recorded, sha256 } from "./requests.js";

const jobs = (name) => gql`
  query ${name}($first: Int!, $after: String, $filter: AudienceGenerationJobFilter) {
    audienceGenerationJobs(first: $first, after: $after, filter: $filter) {
      edges { cursor node { id name } }
      pageInfo { hasNextPage endCursor }
    }
  }
`;

export default async function run({ url, headers, variables, name, useGETForHashedQueries = false }) {
  const JOBS = jobs(name);
  const { fetch, requests } = recorded();
  const client = new ApolloClient({
    link: ApolloLink.from([
      createPersistedQueryLink({ sha256, useGETForHashedQueries }),
      new HttpLink({ uri: url, headers, fetch }),
    ]),
    cache: new InMemoryCache({
      typePolicies: {
        Query: { fields: { audienceGenerationJobs: relayStylePagination(["filter"]) } },
      },
    }),
    clientAwareness: { name: "shop", version: "1.2" },
  });
  const list = client.watchQuery({ query: JOBS, variables });
  const { error } = await firstValueFrom(list.pipe(filter(({ loading }) => !loading)));
  if (error) throw error;
  // All pages are one list in the cache, from which an app shows them.
  const shown = () => client.readQuery({ query: JOBS, variables }).audienceGenerationJobs;
  while (shown().pageInfo.hasNextPage) {
    await list.fetchMore({ variables: { after: shown().pageInfo.endCursor } });
  }
  return { ids: shown().edges.map(({ node }) => node.id), requests };
}
