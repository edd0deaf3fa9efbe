// What the person has chosen to see: filters and order.
import type { Status } from "./statuses";

export type OrderField = "NAME" | "STATUS" | "CREATE_TIME" | "UPDATE_TIME";

export interface Order {
  readonly field: OrderField;
  readonly direction: "ASC" | "DESC";
}

export interface View {
  readonly statuses: readonly Status[];
  readonly nameContains: string;
  /** Jobs of the last days only; null for all. */
  readonly days: number | null;
  /** Null for the order of AWS, newest first. */
  readonly order: Order | null;
}

export const EVERYTHING: View = { statuses: [], nameContains: "", days: null, order: null };

export interface Filter {
  status?: Status[];
  nameContains?: string;
  createdAfter?: string;
}

const DAY_MS = 86_400_000;

/** The filter of a view, and the same for every status, which the counts are made of. */
export function filtersOf(view: View): { filter: Filter; anyStatus: Filter } {
  // Whole days, so that the same view is the same query, which clients and the gateway keep.
  const today = Math.floor(Date.now() / DAY_MS);
  const anyStatus: Filter = {
    ...(view.nameContains && { nameContains: view.nameContains }),
    ...(view.days && { createdAfter: new Date((today - view.days) * DAY_MS).toISOString() }),
  };
  const filter = { ...anyStatus, ...(view.statuses.length && { status: [...view.statuses] }) };
  return { filter, anyStatus };
}

/** Ascending, then descending, then AWS's order again. */
export function nextOrder(order: Order | null, field: OrderField): Order | null {
  if (order?.field !== field) return { field, direction: "ASC" };
  return order.direction === "ASC" ? { field, direction: "DESC" } : null;
}
