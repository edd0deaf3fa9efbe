import { type ErrorLike, gql, type TypedDocumentNode } from "@apollo/client";
import { useQuery } from "@apollo/client/react";
import {
  type ChangeView,
  EmptyList,
  JobsTable,
  LoadMore,
  type Problem,
  ProblemNotice,
  TableSkeleton,
  type View,
  variablesOf,
} from "example-common";
import { useCallback, useMemo, useState } from "react";
import type { JobListQuery, JobListQueryVariables } from "./__generated__/graphql";
import { fetchAgain, problemIn } from "./problems";

const PAGE_SIZE = 50;

const QUERY: TypedDocumentNode<JobListQuery, JobListQueryVariables> = gql`
  query JobList(
    $first: Int!
    $after: String
    $modelArn: String
    $filter: AudienceGenerationJobFilter
    $orderBy: AudienceGenerationJobOrder
  ) {
    audienceGenerationJobs(
      first: $first
      after: $after
      configuredAudienceModelArn: $modelArn
      filter: $filter
      orderBy: $orderBy
    ) {
      edges {
        node {
          id
          audienceGenerationJobArn
          name
          status
          createTime
          updateTime
          startedBy
        }
      }
      pageInfo {
        hasNextPage
        endCursor
      }
    }
  }
`;

interface Props {
  readonly view: View;
  readonly onChange: ChangeView;
  readonly openArn: string | null;
  readonly onOpen: (arn: string) => void;
}

export function JobList({ view, onChange, openArn, onOpen }: Props) {
  const { modelArn, filter, orderBy } = variablesOf(view);
  const variables = { first: PAGE_SIZE, modelArn, filter, orderBy };
  const { data, previousData, error, loading, fetchMore, refetch } = useQuery(QUERY, {
    variables,
    // A list that was shown before may have changed since.
    fetchPolicy: "network-only",
  });
  const problem = useMemo(() => error && problemIn(error), [error]);
  // What is shown stays until the answer to a new filter or order is there.
  const list = (data ?? previousData)?.audienceGenerationJobs;

  const endCursor = list?.pageInfo.endCursor;
  const loadMore = useCallback(
    () => fetchMore({ variables: { after: endCursor } }),
    [fetchMore, endCursor],
  );
  const isEmpty = list?.edges.length === 0 && !list.pageInfo.hasNextPage;
  return (
    <>
      {problem && <ProblemNotice problem={problem} onRetry={() => fetchAgain(refetch)} />}
      {!list && !problem && <TableSkeleton />}
      {isEmpty && <EmptyList />}
      {list && !isEmpty && (
        <>
          <JobsTable
            rows={list.edges.map(({ node }) => node)}
            order={orderBy}
            selectedArn={openArn}
            isStale={loading && !data}
            onChange={onChange}
            onSelect={onOpen}
          />
          {!problem && (
            <MoreJobs
              key={JSON.stringify(variables)}
              hasMore={list.pageInfo.hasNextPage}
              isLoading={loading}
              loadMore={loadMore}
              reload={refetch}
            />
          )}
        </>
      )}
    </>
  );
}

interface MoreJobsProps {
  readonly hasMore: boolean;
  readonly isLoading: boolean;
  readonly loadMore: () => Promise<unknown>;
  readonly reload: () => Promise<unknown>;
}

/** The next page, and what went wrong with it, which leaves the rows before it as they are. */
function MoreJobs({ hasMore, isLoading, loadMore, reload }: MoreJobsProps) {
  const [problem, setProblem] = useState<Problem | null>(null);
  const load = useCallback(() => {
    setProblem(null);
    loadMore().catch((error: ErrorLike) => setProblem(problemIn(error)));
  }, [loadMore]);
  const startOver = () => {
    setProblem(null);
    fetchAgain(reload);
  };
  const retry = problem?.code === "INVALID_CURSOR" ? startOver : load;
  return (
    <>
      {problem && <ProblemNotice problem={problem} subject="More jobs" onRetry={retry} />}
      <LoadMore hasMore={hasMore} isLoading={isLoading} isPaused={problem !== null} loadMore={load} />
    </>
  );
}
