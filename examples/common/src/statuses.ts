export type Tone = "done" | "running" | "failed" | "deleting" | "unknown";

const STATUSES = {
  CREATE_PENDING: ["Pending", "running"],
  CREATE_IN_PROGRESS: ["In progress", "running"],
  ACTIVE: ["Active", "done"],
  CREATE_FAILED: ["Failed", "failed"],
  DELETE_PENDING: ["Deletion pending", "deleting"],
  DELETE_IN_PROGRESS: ["Deleting", "deleting"],
  DELETE_FAILED: ["Deletion failed", "failed"],
  UNKNOWN: ["Unknown", "unknown"],
} as const satisfies Record<string, readonly [string, Tone]>;

export type Status = keyof typeof STATUSES;

/** In the order of a job's life. */
export const ALL_STATUSES = Object.keys(STATUSES) as Status[];

/** Words for a status; one that this page does not know yet is shown as it is. */
export function describeStatus(status: string): { label: string; tone: Tone } {
  const [label, tone] = STATUSES[status as Status] ?? [status, "unknown"];
  return { label, tone };
}

/** Whether a job stays as it is, so that there is nothing to watch. */
export function isSettled(status: string): boolean {
  return ["ACTIVE", "CREATE_FAILED", "DELETE_FAILED"].includes(status);
}
