// Apollo Client with the ids of a manifest, or with hashes: two pages, and the first event of a job.
import { readFileSync } from "node:fs";
import { ApolloClient, ApolloLink, gql, HttpLink, InMemoryCache } from "@apollo/client";
import { createPersistedQueryLink } from "@apollo/client/link/persisted-queries";
import { generatePersistedQueryIdsFromManifest } from "@apollo/persisted-query-lists";
import { firstValueFrom } from "rxjs";
import { recorded, sha256 } from "../requests.js";
import { JOBS, WATCH } from "./documents.js";

export default async function run({ url, headers, arn, manifest, query, useGETForHashedQueries }) {
  const { fetch, requests } = recorded();
  const loadManifest = () => JSON.parse(readFileSync(manifest, "utf8"));
  const ids = manifest ? generatePersistedQueryIdsFromManifest({ loadManifest }) : { sha256 };
  const client = new ApolloClient({
    link: ApolloLink.from([
      createPersistedQueryLink({ ...ids, useGETForHashedQueries }),
      new HttpLink({ uri: url, headers, fetch }),
    ]),
    cache: new InMemoryCache(),
  });
  try {
    if (query) await client.query({ query: gql(query), fetchPolicy: "no-cache" });
    const pages = [];
    for (const first of [2, 3]) {
      const { data } = await client.query({ query: JOBS, variables: { first } });
      pages.push(data.audienceGenerationJobs.edges.map(({ node }) => node.id));
    }
    const { data } = await firstValueFrom(client.subscribe({ query: WATCH, variables: { arn } }));
    return { pages, watched: data.audienceGenerationJob.id, requests };
  } catch (error) {
    const { message, extensions } = error.errors?.[0] ?? JSON.parse(error.bodyText).errors[0];
    return { message, code: extensions.code, requests };
  }
}
