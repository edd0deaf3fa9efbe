import { type ChangeView, ProblemNotice, StatusFilter, type View, variablesOf } from "example-common";
import { graphql, useLazyLoadQuery } from "react-relay";
import type { JobCountsQuery } from "./__generated__/JobCountsQuery.graphql";
import { Missing, valueOf } from "./caught";
import { useQueryResult } from "./useQueryResult";

// A query of its own: the counts read the whole list, and the table need not wait for them.
const QUERY = graphql`
  query JobCountsQuery(
    $modelArn: String
    $filter: AudienceGenerationJobFilter
    $anyStatus: AudienceGenerationJobFilter
  ) {
    matching: audienceGenerationJobs(first: 0, configuredAudienceModelArn: $modelArn, filter: $filter) {
      totalCount @catch
    }
    all: audienceGenerationJobs(first: 0, configuredAudienceModelArn: $modelArn, filter: $anyStatus) {
      statusCounts @catch {
        status
        count
      }
    }
  }
`;

interface Props {
  readonly view: View;
  readonly onChange: ChangeView;
}

export function JobCounts({ view, onChange }: Props) {
  const { modelArn, filter, anyStatus } = variablesOf(view);
  const { loaded, problem, retry } = useQueryResult<JobCountsQuery>(QUERY, { modelArn, filter, anyStatus });
  return (
    <>
      {loaded ? (
        <Counts variables={loaded} view={view} onChange={onChange} onRetry={retry} />
      ) : (
        <StatusFilter selected={view.statuses} counts={null} onChange={onChange} />
      )}
      {problem && <ProblemNotice problem={problem} subject="Counts" onRetry={retry} />}
    </>
  );
}

interface CountsProps extends Props {
  readonly variables: JobCountsQuery["variables"];
  readonly onRetry: () => void;
}

function Counts({ variables, view, onChange, onRetry }: CountsProps) {
  const { matching, all } = useLazyLoadQuery<JobCountsQuery>(QUERY, variables, {
    fetchPolicy: "store-only",
  });
  const total = valueOf(matching?.totalCount);
  return (
    <>
      <StatusFilter selected={view.statuses} counts={valueOf(all?.statusCounts)} onChange={onChange} />
      <p className="total" role="status">
        {total != null && `${total.toLocaleString()} ${total === 1 ? "job" : "jobs"}`}
      </p>
      <Missing subject="Counts" part={all?.statusCounts} onRetry={onRetry} />
    </>
  );
}
