import { type ReactNode, useEffect, useRef, useState } from "react";
import { ALL_STATUSES, describeStatus, type Status } from "./statuses";
import { type ChangeView, EVERYTHING, type View } from "./view";

const DEBOUNCE_MS = 300;

interface Props {
  readonly view: View;
  readonly onChange: ChangeView;
  readonly onReload: () => void;
  readonly children: ReactNode;
}

/** Filters by name and time; `children` is the filter by status, whose counts are data. */
export function Filters({ view, onChange, onReload, children }: Props) {
  const [name, setName] = useState(view.nameContains);

  useEffect(() => {
    const nameContains = name.trim();
    const change = (view: View) => (view.nameContains === nameContains ? view : { ...view, nameContains });
    const timer = setTimeout(() => onChange(change), DEBOUNCE_MS);
    return () => clearTimeout(timer);
  }, [name, onChange]);

  const nameField = useRef<HTMLInputElement>(null);
  const clear = () => {
    setName("");
    nameField.current?.focus(); // the button is gone
    onChange(({ order }) => ({ ...EVERYTHING, order }));
  };
  const isFiltered = [view.statuses.length, view.nameContains, view.days, view.model].some(Boolean);

  return (
    <search className="filters">
      <label>
        Name contains
        <input
          type="search"
          ref={nameField}
          value={name}
          onChange={(event) => setName(event.target.value)}
        />
      </label>
      <label>
        Created
        <select
          value={view.days ?? ""}
          onChange={({ target }) => onChange((view) => ({ ...view, days: Number(target.value) || null }))}
        >
          <option value="">any time</option>
          <option value="7">last 7 days</option>
          <option value="30">last 30 days</option>
          <option value="90">last 90 days</option>
        </select>
      </label>
      <button type="button" onClick={onReload}>
        Reload
      </button>
      {children}
      {view.model && <p className="model">Model: {view.model.name}</p>}
      {isFiltered && (
        <button type="button" aria-label="Clear filters" onClick={clear}>
          Clear
        </button>
      )}
    </search>
  );
}

interface StatusFilterProps {
  readonly selected: readonly Status[];
  /** Null while they load, or if the list is too long to count. */
  readonly counts: ReadonlyArray<{ readonly status: string; readonly count: number }> | null | undefined;
  readonly onChange: ChangeView;
}

/** The statuses as buttons, each with the number of jobs that have it. */
export function StatusFilter({ selected, counts, onChange }: StatusFilterProps) {
  const toggle = (status: Status) =>
    onChange((view) => {
      const others = view.statuses.filter((each) => each !== status);
      return { ...view, statuses: others.length < view.statuses.length ? others : [...others, status] };
    });
  const countOf = (status: Status) => counts?.find((each) => each.status === status)?.count ?? 0;
  const shown = ALL_STATUSES.filter(
    (status) => status !== "UNKNOWN" || countOf(status) > 0 || selected.includes(status),
  );
  return (
    <div className="chips" role="group" aria-label="Status">
      {shown.map((status) => (
        <button
          key={status}
          type="button"
          className={`chip ${describeStatus(status).tone}`}
          aria-pressed={selected.includes(status)}
          onClick={() => toggle(status)}
        >
          {describeStatus(status).label}
          {counts && <span className="count"> {countOf(status).toLocaleString()}</span>}
        </button>
      ))}
    </div>
  );
}
