// The content of the meta element, which gateway/http/graphiql.py writes.
export type Page = {
  examples: string[]; // documents, each in a tab of its own on the first visit
  headers: string; // JSON for the headers editor, or empty
  endpoint: string;
};

export function readPage(): Page {
  const meta = document.querySelector<HTMLMetaElement>('meta[name="gateway-explorer"]');
  return JSON.parse(meta!.content);
}
