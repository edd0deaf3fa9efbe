import {
  ToolbarButton,
  useGraphiQL,
  useGraphiQLActions,
  useOperationsEditorState,
  useVariablesEditorState,
} from "@graphiql/react";
import { useEffect, useEffectEvent } from "react";

import { fromFragment, isLink, type Shared, toFragment } from "./share";

const COPIED = "Link copied. It has the query and its variables, but no headers.";
const IN_ADDRESS = "This browser does not let the page copy: the link is in the address bar.";

type Notify = (message: string) => void;

export function CopyLinkButton({ notify }: { notify: Notify }) {
  const [query] = useOperationsEditorState();
  const [variables] = useVariablesEditorState();
  return (
    <ToolbarButton label="Copy link to this query" onClick={() => void copyLink({ query, variables }).then(notify)}>
      <LinkIcon />
    </ToolbarButton>
  );
}

// Returns what to tell the user.
async function copyLink(shared: Shared): Promise<string> {
  let fragment: string;
  try {
    fragment = toFragment(shared);
  } catch (error) {
    return (error as Error).message;
  }
  try {
    await navigator.clipboard.writeText(addressWith(fragment));
    return COPIED;
  } catch {
    history.replaceState(null, "", addressWith(fragment)); // without HTTPS there is no clipboard
    return IN_ADDRESS;
  }
}

// Shows what a link has in a new tab, and runs nothing.
export function OpenLink({ notify }: { notify: Notify }) {
  const { addTab } = useGraphiQLActions();
  const isReady = useGraphiQL(({ queryEditor, variableEditor, headerEditor }) =>
    Boolean(queryEditor && variableEditor && headerEditor),
  );
  const [, setQuery] = useOperationsEditorState();
  const [, setVariables] = useVariablesEditorState();
  const open = useEffectEvent(() => {
    const fragment = location.hash;
    if (!isLink(fragment)) return;
    history.replaceState(null, "", addressWith("")); // a reload opens it no second time
    try {
      const { query, variables } = fromFragment(fragment);
      addTab();
      setQuery(query);
      setVariables(variables);
    } catch (error) {
      notify((error as Error).message);
    }
  });
  useEffect(() => {
    if (!isReady) return;
    open();
    const onChange = () => open();
    addEventListener("hashchange", onChange);
    return () => removeEventListener("hashchange", onChange);
  }, [isReady]);
  return null;
}

function addressWith(fragment: string): string {
  return `${location.origin}${location.pathname}${location.search}${fragment}`;
}

function LinkIcon() {
  return (
    <svg viewBox="0 0 24 24" className="graphiql-toolbar-icon" aria-hidden="true">
      <g fill="none" stroke="currentColor" strokeWidth="2" strokeLinecap="round">
        <path d="M10 14a4.5 4.5 0 0 0 6.4 0l3.2-3.2a4.5 4.5 0 0 0-6.4-6.4L12 5.6" />
        <path d="M14 10a4.5 4.5 0 0 0-6.4 0l-3.2 3.2a4.5 4.5 0 0 0 6.4 6.4l1.2-1.2" />
      </g>
    </svg>
  );
}
