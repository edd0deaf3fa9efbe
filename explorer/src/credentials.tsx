import { useHeadersEditorState } from "@graphiql/react";

import { credentialsIn, findSet, formatHeaders, parseHeaders, replaceSet } from "./headers";
import type { HeaderSet } from "./page";

const NONE = "none";
const OTHER = "other";

// Chooses whose credentials the headers editor of the tab has; its other headers stay.
export function CredentialsSelect({ sets }: { sets: HeaderSet[] }) {
  const [text, setText] = useHeadersEditorState();
  const headers = parseHeaders(text) ?? {};
  const isNone = Object.keys(credentialsIn(headers)).length === 0;
  const chosen = findSet(sets, headers)?.name ?? (isNone ? NONE : OTHER);
  const choose = (name: string) => {
    const set = sets.find((each) => each.name === name);
    setText(formatHeaders(replaceSet(headers, set)));
  };
  return (
    <label className="credentials">
      <span>Credentials</span>
      <select value={chosen} onChange={(event) => choose(event.target.value)}>
        {sets.map(({ name, note }) => (
          <option key={name} value={name}>
            {note ? `${name}: ${note}` : name}
          </option>
        ))}
        <option value={NONE}>none</option>
        {chosen === OTHER && <option value={OTHER}>as typed</option>}
      </select>
    </label>
  );
}
