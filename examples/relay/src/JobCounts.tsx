import { type ChangeView, ProblemNotice, StatusFilter, type View, variablesOf } from "example-common";
import { graphql, useLazyLoadQuery } from "react-relay";
import type { JobCountsQuery } from "./__generated__/JobCountsQuery.graphql";
import { useQueryResult } from "./useQueryResult";

// A query of its own: the counts read the whole list, and the table need not wait for them.
const QUERY = graphql`
  query JobCountsQuery(
    $modelArn: String
    $filter: AudienceGenerationJobFilter
    $anyStatus: AudienceGenerationJobFilter
  ) {
    matching: audienceGenerationJobs(first: 0, configuredAudienceModelArn: $modelArn, filter: $filter) {
      totalCount
    }
    all: audienceGenerationJobs(first: 0, configuredAudienceModelArn: $modelArn, filter: $anyStatus) {
      statusCounts {
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
        <Counts variables={loaded} view={view} onChange={onChange} />
      ) : (
        <StatusFilter selected={view.statuses} counts={null} onChange={onChange} />
      )}
      {problem && <ProblemNotice problem={problem} subject="Counts" onRetry={retry} />}
    </>
  );
}

function Counts({ variables, view, onChange }: Props & { variables: JobCountsQuery["variables"] }) {
  const { matching, all } = useLazyLoadQuery<JobCountsQuery>(QUERY, variables, {
    fetchPolicy: "store-only",
  });
  const total = matching?.totalCount;
  return (
    <>
      <StatusFilter selected={view.statuses} counts={all?.statusCounts ?? null} onChange={onChange} />
      <p className="total" role="status">
        {total != null && `${total.toLocaleString()} ${total === 1 ? "job" : "jobs"}`}
      </p>
    </>
  );
}
