import { type FragmentType, gql, type TypedDocumentNode } from "@apollo/client";
import { useFragment } from "@apollo/client/react";
import { ExportList } from "example-common";
import type { JobExportsFragment } from "./__generated__/graphql";

export const JOB_EXPORTS: TypedDocumentNode<JobExportsFragment> = gql`
  fragment JobExports on AudienceGenerationJob {
    exportJobs(first: 20) {
      nodes {
        id
        name
        status
        createTime
      }
    }
  }
`;

export function JobExports({ job }: { readonly job: FragmentType<JobExportsFragment> }) {
  const { data, complete } = useFragment({ fragment: JOB_EXPORTS, from: job });
  return <ExportList rows={(complete && data.exportJobs?.nodes) || null} />;
}
