import { type FragmentType, gql, type TypedDocumentNode } from "@apollo/client";
import { skipToken, useFragment, useSubscription } from "@apollo/client/react";
import { isSettled, LiveStatus, ProblemNotice } from "example-common";
import { useMemo } from "react";
import type {
  JobEventsSubscription,
  JobEventsSubscriptionVariables,
  LiveJobFragment,
} from "./__generated__/graphql";
import { toProblem } from "./problems";

export const LIVE_JOB: TypedDocumentNode<LiveJobFragment> = gql`
  fragment LiveJob on AudienceGenerationJob {
    audienceGenerationJobArn
    name
    status
  }
`;

// Apollo Client writes each event into the job in its cache, so panel and table change with it.
const EVENTS: TypedDocumentNode<JobEventsSubscription, JobEventsSubscriptionVariables> = gql`
  subscription JobEvents($arn: String!) {
    audienceGenerationJob(audienceGenerationJobArn: $arn) {
      id
      status
      updateTime
      statusDetails {
        message
      }
      metrics {
        relevanceMetrics {
          audienceSize {
            type
            value
          }
          score
        }
        recallMetric
      }
    }
  }
`;

/** Follows a job until it is settled. */
export function LiveJob({ job }: { readonly job: FragmentType<LiveJobFragment> }) {
  const { data, complete } = useFragment({ fragment: LIVE_JOB, from: job });
  const isWatching = complete && !isSettled(data.status);
  const { error, restart } = useSubscription(
    EVENTS,
    isWatching ? { variables: { arn: data.audienceGenerationJobArn } } : skipToken,
  );
  const problem = useMemo(() => error && toProblem(error), [error]);
  if (!complete) return null;
  return (
    <>
      {problem && <ProblemNotice problem={problem} subject="Live updates" onRetry={restart} />}
      <LiveStatus name={data.name} status={data.status} isWatching={isWatching && !problem} />
    </>
  );
}
