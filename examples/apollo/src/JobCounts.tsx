import { gql, type TypedDocumentNode } from "@apollo/client";
import { useQuery } from "@apollo/client/react";
import { type ChangeView, ProblemNotice, StatusFilter, type View, variablesOf } from "example-common";
import { useMemo } from "react";
import type { JobCountsQuery, JobCountsQueryVariables } from "./__generated__/graphql";
import { fetchAgain, problemIn } from "./problems";

// A query of its own: the counts read the whole list, and the table need not wait for them.
const QUERY: TypedDocumentNode<JobCountsQuery, JobCountsQueryVariables> = gql`
  query JobCounts(
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
  const { data, previousData, error, refetch } = useQuery(QUERY, {
    variables: { modelArn, filter, anyStatus },
    fetchPolicy: "network-only",
  });
  const problem = useMemo(() => error && problemIn(error), [error]);
  const { matching, all } = data ?? previousData ?? {};
  const total = matching?.totalCount;
  return (
    <>
      <StatusFilter selected={view.statuses} counts={all?.statusCounts ?? null} onChange={onChange} />
      <p className="total" role="status">
        {total != null && `${total.toLocaleString()} ${total === 1 ? "job" : "jobs"}`}
      </p>
      {problem && <ProblemNotice problem={problem} subject="Counts" onRetry={() => fetchAgain(refetch)} />}
    </>
  );
}
