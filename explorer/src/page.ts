// The content of the meta element, which gateway/http/graphiql.py writes.
export type Page = {
  examples: Example[]; // each in a tab of its own on the first visit
  headerSets: HeaderSet[]; // at least one; the first is that of new tabs
  endpoint: string;
  introspection: boolean;
};

export type Example = {
  query: string;
  variables: Record<string, unknown>;
};

// The headers of a caller, or a template whose values are to be filled in.
export type HeaderSet = {
  name: string;
  note: string;
  headers: Record<string, string>;
};

export function readPage(): Page {
  const meta = document.querySelector<HTMLMetaElement>('meta[name="gateway-explorer"]');
  return JSON.parse(meta!.content);
}
