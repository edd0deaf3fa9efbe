// What Apollo's generator reads. It puts operations before fragments.
import { gql } from "@apollo/client";

export const JOBS = gql`
  fragment JobName on AudienceGenerationJob { id name }
  query PersistedJobs($first: Int!, $after: String) {
    audienceGenerationJobs(first: $first, after: $after) {
      edges { cursor node { ...JobName } }
      pageInfo { hasNextPage endCursor }
    }
  }
`;

export const WATCH = gql`
  subscription PersistedWatch($arn: String!) {
    audienceGenerationJob(audienceGenerationJobArn: $arn) { id status }
  }
`;
