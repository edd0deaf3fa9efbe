import type { CodegenConfig } from "@graphql-codegen/cli";

const config: CodegenConfig = {
  schema: "../../schema.graphql",
  documents: "src/**/*.{ts,tsx}",
  generates: {
    "src/__generated__/graphql.ts": {
      plugins: ["typescript-operations"],
      config: {
        // Apollo Client adds __typename to every object but the roots.
        nonOptionalTypename: true,
        skipTypeNameForRoot: true,
        // A component sees the fields of its own fragment only, as at run time with `dataMasking`.
        inlineFragmentTypes: "mask",
        customDirectives: { apolloUnmask: true },
        scalars: { DateTime: "string" },
      },
    },
  },
};

export default config;
