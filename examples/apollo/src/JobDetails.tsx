import { type ErrorLike, gql, type TypedDocumentNode } from "@apollo/client";
import { useQuery } from "@apollo/client/react";
import {
  type ChangeView,
  JobDescription,
  type Model,
  Panel,
  type Problem,
  ProblemNotice,
  problemOf,
} from "example-common";
import { useMemo } from "react";
import type { JobDetailsQuery, JobDetailsQueryVariables } from "./__generated__/graphql";
import { JOB_EXPORTS, JobExports } from "./JobExports";
import { LIVE_JOB, LiveJob } from "./LiveJob";
import { errorsOf, fetchAgain, problemIn } from "./problems";

const QUERY: TypedDocumentNode<JobDetailsQuery, JobDetailsQueryVariables> = gql`
  query JobDetails($arn: String!) {
    audienceGenerationJob(audienceGenerationJobArn: $arn) {
      id
      audienceGenerationJobArn
      name
      status
      description
      createTime
      updateTime
      startedBy
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
      configuredAudienceModel {
        id
        name
        configuredAudienceModelArn
      }
      ...LiveJob
      ...JobExports
    }
  }
  ${LIVE_JOB}
  ${JOB_EXPORTS}
`;

interface Props {
  readonly arn: string;
  readonly onChange: ChangeView;
  readonly onClose: () => void;
}

export function JobDetails({ arn, onChange, onClose }: Props) {
  const { data, error, refetch } = useQuery(QUERY, {
    variables: { arn },
    // A part that fails is null, with an error; the panel shows the rest.
    errorPolicy: "all",
    // The cache keeps that null, but not the error.
    fetchPolicy: "cache-and-network",
  });
  const failures = useMemo(() => (error ? failuresOf(error) : []), [error]);
  const job = data?.audienceGenerationJob;
  const showModel = (model: Model) => {
    onChange((view) => ({ ...view, model }));
    onClose();
  };
  const reload = () => fetchAgain(refetch);
  return (
    <Panel title="Job" onClose={onClose}>
      {job && <h3>{job.name}</h3>}
      {job && <LiveJob job={job} onGone={reload} />}
      {failures.map((failure) => (
        <ProblemNotice key={failure.subject ?? "Job"} {...failure} onRetry={reload} />
      ))}
      {job && (
        <JobDescription
          job={job}
          reason={job.statusDetails?.message}
          metrics={job.metrics}
          model={job.configuredAudienceModel}
          onShowModel={showModel}
        >
          <JobExports job={job} />
        </JobDescription>
      )}
      {!job && failures.length === 0 && <p role="status">Loading …</p>}
    </Panel>
  );
}

const SUBJECTS: Record<string, string> = {
  statusDetails: "Reason",
  metrics: "Metrics",
  configuredAudienceModel: "Model",
  exportJobs: "Exports",
};

interface Failure {
  /** What is missing; absent if nothing could be read. */
  readonly subject?: string;
  readonly problem: Problem;
}

/** What went wrong, once for each part of the job. */
function failuresOf(error: ErrorLike): Failure[] {
  const failures = errorsOf(error).map((each): Failure => {
    const subject = SUBJECTS[each.path?.[1] ?? ""];
    return { problem: problemOf(each), ...(subject && { subject }) };
  });
  if (failures.length === 0) return [{ problem: problemIn(error) }];
  return [...new Map(failures.map((failure) => [failure.subject, failure])).values()];
}
