import { describeStatus } from "./statuses";

export function Badge({ status }: { readonly status: string }) {
  const { label, tone } = describeStatus(status);
  return <span className={`badge ${tone}`}>{label}</span>;
}
