// What the person has chosen to see: filters and order.
import type { Status } from "./statuses";

export type OrderField = "NAME" | "STATUS" | "CREATE_TIME" | "UPDATE_TIME";

export interface Order {
  readonly field: OrderField;
  readonly direction: "ASC" | "DESC";
}

export interface Model {
  readonly configuredAudienceModelArn: string;
  readonly name: string;
}

export interface View {
  readonly statuses: readonly Status[];
  readonly nameContains: string;
  /** Jobs of the last days only; null for all. */
  readonly days: number | null;
  /** Jobs that use one model only; null for all. AWS filters by it, so less of the list is read. */
  readonly model: Model | null;
  /** Null for the order of AWS, newest first. */
  readonly order: Order | null;
}

export const EVERYTHING: View = {
  statuses: [],
  nameContains: "",
  days: null,
  model: null,
  order: null,
};

/** How a filter or a header changes what is seen. */
export type ChangeView = (change: (view: View) => View) => void;

export interface Filter {
  status?: Status[];
  nameContains?: string;
  createdAfter?: string;
}

const DAY_MS = 86_400_000;

/** The variables of a view; `anyStatus` is its filter without the statuses, for their counts. */
export function variablesOf(view: View) {
  // Whole days, so that the same view is the same query, which clients and the gateway keep.
  const today = Math.floor(Date.now() / DAY_MS);
  const anyStatus: Filter = {
    ...(view.nameContains && { nameContains: view.nameContains }),
    ...(view.days && { createdAfter: new Date((today - view.days) * DAY_MS).toISOString() }),
  };
  const filter: Filter = { ...anyStatus, ...(view.statuses.length && { status: [...view.statuses] }) };
  const modelArn = view.model?.configuredAudienceModelArn ?? null;
  return { modelArn, filter, anyStatus, orderBy: view.order };
}

/** Ascending, then descending, then AWS's order again. */
export function nextOrder(order: Order | null, field: OrderField): Order | null {
  if (order?.field !== field) return { field, direction: "ASC" };
  return order.direction === "ASC" ? { field, direction: "DESC" } : null;
}
