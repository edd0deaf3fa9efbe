const DATE = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });

/** A moment in the reader's time zone; in a narrow table its date alone. */
export function Time({ value }: { readonly value: string }) {
  const moment = new Date(value);
  return (
    <time dateTime={value}>
      {DATE.format(moment)}
      <span className="clock">, {CLOCK.format(moment)}</span>
    </time>
  );
}
