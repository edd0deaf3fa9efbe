import {
  type ChangeView,
  EmptyList,
  JobsTable,
  LoadMore,
  type Problem,
  ProblemNotice,
  TableSkeleton,
  toProblem,
  type View,
  variablesOf,
} from "example-common";
import { useCallback, useState } from "react";
import { graphql, useLazyLoadQuery, usePaginationFragment } from "react-relay";
import type { JobList_query$key } from "./__generated__/JobList_query.graphql";
import type { JobListQuery } from "./__generated__/JobListQuery.graphql";
import { useQueryResult } from "./useQueryResult";

const PAGE_SIZE = 50;

const QUERY = graphql`
  query JobListQuery(
    $first: Int!
    $after: String
    $modelArn: String
    $filter: AudienceGenerationJobFilter
    $orderBy: AudienceGenerationJobOrder
  ) {
    ...JobList_query
      @arguments(first: $first, after: $after, modelArn: $modelArn, filter: $filter, orderBy: $orderBy)
  }
`;

interface Props {
  readonly view: View;
  readonly onChange: ChangeView;
  readonly openArn: string | null;
  readonly onOpen: (arn: string) => void;
}

export function JobList({ view, ...props }: Props) {
  const { modelArn, filter, orderBy } = variablesOf(view);
  const { loaded, isLoading, problem, retry } = useQueryResult<JobListQuery>(QUERY, {
    first: PAGE_SIZE,
    modelArn,
    filter,
    orderBy,
  });
  return (
    <>
      {problem && <ProblemNotice problem={problem} onRetry={retry} />}
      {loaded ? (
        <Jobs {...props} variables={loaded} order={view.order} isStale={isLoading} onReload={retry} />
      ) : (
        !problem && <TableSkeleton />
      )}
    </>
  );
}

interface JobsProps extends Omit<Props, "view"> {
  readonly variables: JobListQuery["variables"];
  readonly order: View["order"];
  readonly isStale: boolean;
  readonly onReload: () => void;
}

function Jobs({ variables, order, isStale, onReload, onChange, openArn, onOpen }: JobsProps) {
  const query = useLazyLoadQuery<JobListQuery>(QUERY, variables, { fetchPolicy: "store-only" });
  const { data, hasNext, isLoadingNext, loadNext } = usePaginationFragment<JobListQuery, JobList_query$key>(
    graphql`
      fragment JobList_query on Query
      @refetchable(queryName: "JobListNextQuery")
      @argumentDefinitions(
        first: { type: "Int!" }
        after: { type: "String" }
        modelArn: { type: "String" }
        filter: { type: "AudienceGenerationJobFilter" }
        orderBy: { type: "AudienceGenerationJobOrder" }
      ) {
        audienceGenerationJobs(
          first: $first
          after: $after
          configuredAudienceModelArn: $modelArn
          filter: $filter
          orderBy: $orderBy
        ) @connection(key: "JobList_audienceGenerationJobs") {
          edges {
            node {
              audienceGenerationJobArn
              name
              status
              createTime
              updateTime
              startedBy
            }
          }
        }
      }
    `,
    query,
  );
  const [failure, setFailure] = useState<{ of: typeof variables; problem: Problem } | null>(null);
  // Not that of the list before.
  const problem = failure?.of === variables ? failure.problem : null;

  const loadMore = useCallback(() => {
    setFailure(null);
    loadNext(PAGE_SIZE, {
      onComplete: (error) => error && setFailure({ of: variables, problem: toProblem(error) }),
    });
  }, [loadNext, variables]);

  // A cursor that is no longer valid will not be valid later: only a new list has others.
  const onRetry = problem?.code === "INVALID_CURSOR" ? onReload : loadMore;
  const rows = data.audienceGenerationJobs?.edges.map(({ node }) => node) ?? [];
  if (rows.length === 0 && !hasNext) return <EmptyList />;
  return (
    <>
      <JobsTable
        rows={rows}
        order={order}
        selectedArn={openArn}
        isStale={isStale}
        onChange={onChange}
        onSelect={onOpen}
      />
      {problem && <ProblemNotice problem={problem} subject="More jobs" onRetry={onRetry} />}
      <LoadMore hasMore={hasNext} isLoading={isLoadingNext} isPaused={problem !== null} loadMore={loadMore} />
    </>
  );
}
