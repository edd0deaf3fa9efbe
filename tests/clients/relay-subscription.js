// What Relay's compiler reads: a job to subscribe to.
import { graphql } from "relay-runtime";

graphql`
  subscription relaySubscription($arn: String!) {
    audienceGenerationJob(audienceGenerationJobArn: $arn) { id name status }
  }
`;
