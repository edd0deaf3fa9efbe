// What Relay's compiler reads: a list to page through, and an object to fetch again.
import { graphql } from "relay-runtime";

graphql`
  query relayQuery($first: Int!, $after: String, $filter: AudienceGenerationJobFilter) {
    audienceGenerationJobs(first: $first, after: $after, filter: $filter)
      @connection(key: "relay_audienceGenerationJobs") {
      edges { node { id name } }
    }
  }
`;

graphql`
  query relayQueryAgainQuery($id: ID!) {
    node(id: $id) { id ... on AudienceGenerationJob { name } }
  }
`;
