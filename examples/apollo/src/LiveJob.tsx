import { type FragmentType, gql, type TypedDocumentNode } from "@apollo/client";
import { skipToken, useFragment, useSubscription } from "@apollo/client/react";
import { isSettled, LiveStatus, ProblemNotice } from "example-common";
import { useMemo } from "react";
import type {
  JobEventsSubscription,
  JobEventsSubscriptionVariables,
  LiveJobFragment,
} from "./__generated__/graphql";
import { problemIn } from "./problems";

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

interface Props {
  readonly job: FragmentType<LiveJobFragment>;
  readonly onGone: () => void;
}

/** Follows a job until it is settled or gone. */
export function LiveJob({ job, onGone }: Props) {
  const { data, complete } = useFragment({ fragment: LIVE_JOB, from: job });
  const isWatching = complete && !isSettled(data.status);
  const { error, restart } = useSubscription(
    EVENTS,
    isWatching
      ? {
          variables: { arn: data.audienceGenerationJobArn },
          onData: ({ data: { data: event } }) => {
            if (event?.audienceGenerationJob === null) onGone();
          },
        }
      : skipToken,
  );
  const problem = useMemo(() => error && problemIn(error), [error]);
  if (!complete) return null;
  return (
    <>
      {problem && <ProblemNotice problem={problem} subject="Live updates" onRetry={restart} />}
      <LiveStatus name={data.name} status={data.status} isWatching={isWatching && !problem} />
    </>
  );
}
