import {
  type ChangeView,
  ExportList,
  isSettled,
  JobDescription,
  LiveStatus,
  type Model,
  Panel,
  type Problem,
  ProblemNotice,
  toProblem,
} from "example-common";
import { useMemo, useState } from "react";
import { graphql, useLazyLoadQuery, useSubscription } from "react-relay";
import type { JobDetailsQuery } from "./__generated__/JobDetailsQuery.graphql";
import type { JobDetailsSubscription } from "./__generated__/JobDetailsSubscription.graphql";
import { Missing, valueOf } from "./caught";
import { useQueryResult } from "./useQueryResult";

// What fails alone is caught alone: the panel shows the rest.
const QUERY = graphql`
  query JobDetailsQuery($arn: String!) {
    audienceGenerationJob(audienceGenerationJobArn: $arn) {
      audienceGenerationJobArn
      name
      status
      description
      createTime
      updateTime
      startedBy
      statusDetails @catch {
        message
      }
      metrics @catch {
        relevanceMetrics {
          audienceSize {
            type
            value
          }
          score
        }
        recallMetric
      }
      configuredAudienceModel @catch {
        name
        configuredAudienceModelArn
      }
      exportJobs(first: 20) @catch {
        nodes {
          id
          name
          status
          createTime
        }
      }
    }
  }
`;

// Relay writes each event into the job's record, so the row of the table changes with the panel.
const SUBSCRIPTION = graphql`
  subscription JobDetailsSubscription($arn: String!) {
    audienceGenerationJob(audienceGenerationJobArn: $arn) {
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
  readonly arn: string;
  readonly onChange: ChangeView;
  readonly onClose: () => void;
}

export function JobDetails({ arn, onChange, onClose }: Props) {
  const showModel = (model: Model) => {
    onChange((view) => ({ ...view, model }));
    onClose();
  };
  const { loaded, problem, retry } = useQueryResult<JobDetailsQuery>(QUERY, { arn });
  return (
    <Panel title="Job" onClose={onClose}>
      {problem && <ProblemNotice problem={problem} onRetry={retry} />}
      {loaded ? (
        <Job arn={arn} onShowModel={showModel} onRetry={retry} />
      ) : (
        !problem && <p role="status">Loading …</p>
      )}
    </Panel>
  );
}

interface JobProps {
  readonly arn: string;
  readonly onShowModel: (model: Model) => void;
  readonly onRetry: () => void;
}

function Job({ arn, onShowModel, onRetry }: JobProps) {
  const { audienceGenerationJob: job } = useLazyLoadQuery<JobDetailsQuery>(
    QUERY,
    { arn },
    { fetchPolicy: "store-only" },
  );
  if (!job) return <p>The job no longer exists.</p>;

  const parts = {
    Reason: job.statusDetails,
    Metrics: job.metrics,
    Model: job.configuredAudienceModel,
    Exports: job.exportJobs,
  };
  return (
    <>
      <h3>{job.name}</h3>
      {!isSettled(job.status) && <Watch arn={arn} />}
      <LiveStatus name={job.name} status={job.status} isWatching={!isSettled(job.status)} />
      {Object.entries(parts).map(([subject, part]) => (
        <Missing key={subject} subject={subject} part={part} onRetry={onRetry} />
      ))}
      <JobDescription
        job={job}
        reason={valueOf(job.statusDetails)?.message}
        metrics={valueOf(job.metrics)}
        model={valueOf(job.configuredAudienceModel)}
        onShowModel={onShowModel}
      >
        <ExportList rows={valueOf(job.exportJobs)?.nodes ?? null} />
      </JobDescription>
    </>
  );
}

/** Subscribes to a job until it is settled. */
function Watch({ arn }: { readonly arn: string }) {
  const [problem, setProblem] = useState<Problem | null>(null);
  const [attempt, setAttempt] = useState(0);
  useSubscription<JobDetailsSubscription>(
    useMemo(
      () => ({
        subscription: SUBSCRIPTION,
        variables: { arn },
        onError: (error) => setProblem(toProblem(error)),
      }),
      // Another configuration is another subscription.
      [arn, attempt],
    ),
  );
  const retry = () => {
    setProblem(null);
    setAttempt(attempt + 1);
  };
  return problem && <ProblemNotice problem={problem} subject="Live updates" onRetry={retry} />;
}
