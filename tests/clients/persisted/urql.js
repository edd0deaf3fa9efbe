// urql with persisted queries and subscriptions: two pages, and the last event of a job.
import { Client, fetchExchange } from "@urql/core";
import { persistedExchange } from "@urql/exchange-persisted";
import { pipe, toPromise } from "wonka";
import { recorded } from "../requests.js";
import { JOBS, WATCH } from "./documents.js";

export default async function run({ url, headers, arn, preferGetForPersistedQueries }) {
  const { fetch, requests } = recorded();
  const client = new Client({
    url,
    fetch,
    fetchOptions: { headers },
    fetchSubscriptions: true,
    exchanges: [
      persistedExchange({ enableForSubscriptions: true, preferGetForPersistedQueries }),
      fetchExchange,
    ],
  });
  const pages = [];
  for (const first of [2, 3]) {
    const { data, error } = await client.query(JOBS, { first }).toPromise();
    if (error) throw error;
    pages.push(data.audienceGenerationJobs.edges.map(({ node }) => node.id));
  }
  const { data, error } = await pipe(client.subscription(WATCH, { arn }), toPromise);
  if (error) throw error;
  return { pages, watched: data.audienceGenerationJob.id, requests };
}
