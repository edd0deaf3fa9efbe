import { type ReactNode, useEffect, useId, useRef } from "react";
import { Badge } from "./Badge";
import { type Metrics, MetricsChart } from "./MetricsChart";
import { Time } from "./Time";
import type { Model } from "./view";

interface PanelProps {
  readonly title: string;
  readonly onClose: () => void;
  readonly children: ReactNode;
}

/** A drawer beside the table; on a narrow screen it takes the table's place. */
export function Panel({ title, onClose, children }: PanelProps) {
  const heading = useRef<HTMLHeadingElement>(null);
  const id = useId();

  // Focus moves into the panel, and back to the row when it closes.
  useEffect(() => {
    const opener = document.activeElement;
    heading.current?.focus();
    return () => {
      if (opener instanceof HTMLElement) opener.focus();
    };
  }, []);

  return (
    <aside
      className="panel"
      aria-labelledby={id}
      onKeyDown={(event) => event.key === "Escape" && onClose()}
    >
      <header>
        <h2 id={id} ref={heading} tabIndex={-1}>
          {title}
        </h2>
        <button type="button" onClick={onClose} aria-label="Close">
          ×
        </button>
      </header>
      {children}
    </aside>
  );
}

export interface JobDetails {
  readonly audienceGenerationJobArn: string;
  readonly name: string;
  readonly status: string;
  readonly description?: string | null;
  readonly createTime: string;
  readonly updateTime: string;
  readonly startedBy?: string | null;
}

interface JobProps {
  readonly job: JobDetails;
  /** Why the job has its status. */
  readonly reason?: string | null;
  readonly metrics?: Metrics | null;
  readonly model?: Model | null;
  readonly onShowModel: (model: Model) => void;
  /** The exports, or what stands in their place. */
  readonly children: ReactNode;
}

export function JobDescription({ job, reason, metrics, model, onShowModel, children }: JobProps) {
  return (
    <>
      <p>
        <Badge status={job.status} />
      </p>
      {reason && <p>{reason}</p>}
      {job.description && <p>{job.description}</p>}
      <dl>
        <dt>Created</dt>
        <dd>
          <Time value={job.createTime} />
        </dd>
        <dt>Updated</dt>
        <dd>
          <Time value={job.updateTime} />
        </dd>
        <dt>Started by</dt>
        <dd>{job.startedBy ?? "–"}</dd>
        <dt>Model</dt>
        <dd>
          {model ? (
            <>
              {model.name}{" "}
              <button type="button" className="link" onClick={() => onShowModel(model)}>
                Show its jobs
              </button>
            </>
          ) : (
            "–"
          )}
        </dd>
        <dt>ARN</dt>
        <dd className="arn">{job.audienceGenerationJobArn}</dd>
      </dl>
      {metrics && <MetricsChart metrics={metrics} />}
      <h4>Exports</h4>
      {children}
    </>
  );
}

export interface ExportRow {
  readonly id: string;
  readonly name: string;
  readonly status: string;
  readonly createTime: string;
}

/** `rows` are null if they could not be read. */
export function ExportList({ rows }: { readonly rows: readonly ExportRow[] | null }) {
  if (rows === null) return <p>–</p>;
  if (rows.length === 0) return <p className="quiet">None yet</p>;
  return (
    <ul className="exports">
      {rows.map(({ id, name, status, createTime }) => (
        <li key={id}>
          <span>{name}</span>
          <Badge status={status} />
          <Time value={createTime} />
        </li>
      ))}
    </ul>
  );
}
