import type { ReactNode } from "react";
import { Badge } from "./Badge";
import { Time } from "./Time";
import { type ChangeView, nextOrder, type Order, type OrderField } from "./view";

export interface JobRow {
  readonly audienceGenerationJobArn: string;
  readonly name: string;
  readonly status: string;
  readonly createTime: string;
  readonly updateTime: string;
  readonly startedBy?: string | null;
}

interface Props {
  readonly rows: readonly JobRow[];
  readonly order: Order | null;
  readonly selectedArn: string | null;
  /** Whether other rows are on their way. */
  readonly isStale: boolean;
  readonly onChange: ChangeView;
  readonly onSelect: (arn: string) => void;
}

export function JobsTable({ rows, order, selectedArn, isStale, onChange, onSelect }: Props) {
  const header = (field: OrderField, label: string, className?: string) => (
    <SortableHeader
      label={label}
      direction={order?.field === field ? order.direction : null}
      onClick={() => onChange((view) => ({ ...view, order: nextOrder(view.order, field) }))}
      {...(className && { className })}
    />
  );
  return (
    <table className="jobs" aria-busy={isStale}>
      <caption className="hidden">Audience generation jobs</caption>
      <thead>
        <tr>
          {header("NAME", "Name")}
          {header("STATUS", "Status")}
          {header("CREATE_TIME", "Created")}
          {header("UPDATE_TIME", "Updated", "wide")}
          <th scope="col" className="wide">
            Started by
          </th>
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => {
          const arn = row.audienceGenerationJobArn;
          return (
            <tr key={arn} className={arn === selectedArn ? "selected" : undefined}>
              <td>
                <button
                  type="button"
                  className="open"
                  data-arn={arn}
                  aria-expanded={arn === selectedArn}
                  onClick={() => onSelect(arn)}
                >
                  {row.name}
                </button>
              </td>
              <td>
                <Badge status={row.status} />
              </td>
              <td>
                <Time value={row.createTime} />
              </td>
              <td className="wide">
                <Time value={row.updateTime} />
              </td>
              <td className="wide number">{row.startedBy ?? "–"}</td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}

interface HeaderProps {
  readonly label: string;
  readonly direction: Order["direction"] | null;
  readonly onClick: () => void;
  readonly className?: string;
}

function SortableHeader({ label, direction, onClick, className }: HeaderProps) {
  const sorted = direction === "ASC" ? "ascending" : direction === "DESC" ? "descending" : "none";
  return (
    <th scope="col" aria-sort={sorted} className={className}>
      <button type="button" onClick={onClick}>
        {label}
        <span aria-hidden="true">{direction === "ASC" ? " ▲" : direction === "DESC" ? " ▼" : ""}</span>
      </button>
    </th>
  );
}

/** Rows to come, for the first time that a list is loaded. */
export function TableSkeleton() {
  return (
    <div className="skeleton" role="status">
      <span className="hidden">Loading jobs …</span>
      {Array.from({ length: 12 }, (_, row) => (
        <div key={row} aria-hidden="true" />
      ))}
    </div>
  );
}

export function EmptyList({ children }: { readonly children?: ReactNode }) {
  return (
    <div className="empty">
      <p>No job matches these filters.</p>
      {children}
    </div>
  );
}
