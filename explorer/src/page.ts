// What the server says about this page: gateway/http/graphiql.py fills the meta element in.
export type Page = {
  query: string; // the example, shown on a first visit
  headers: string; // JSON for the headers editor, or nothing
  endpoint: string;
};

export function readPage(): Page {
  const meta = document.querySelector<HTMLMetaElement>('meta[name="gateway-explorer"]');
  return JSON.parse(meta!.content);
}
