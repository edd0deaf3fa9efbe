// graphql-request: data, and the error of an invalid query.
import { gql, GraphQLClient } from "graphql-request";

const JOBS = gql`
  query Jobs($first: Int!) { audienceGenerationJobs(first: $first) { nodes { id } } }
`;

export default async function run({ url, headers, variables }) {
  const client = new GraphQLClient(url, { headers });
  const { audienceGenerationJobs } = await client.request(JOBS, variables);
  const { response } = await client.request("{ missing }").catch((error) => error);
  return {
    ids: audienceGenerationJobs.nodes.map(({ id }) => id),
    status: response.status,
    code: response.errors[0].extensions.code,
  };
}
