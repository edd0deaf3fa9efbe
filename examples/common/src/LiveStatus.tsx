import { describeStatus, isSettled } from "./statuses";
import { useEffect, useRef, useState } from "react";

interface Props {
  readonly name: string;
  readonly status: string;
  /** Whether a subscription is open. */
  readonly isWatching: boolean;
}

/** Says that a job is watched, and announces the moment in which it is done. */
export function LiveStatus({ name, status, isWatching }: Props) {
  const previous = useRef(status);
  const [done, setDone] = useState("");
  useEffect(() => {
    if (!isSettled(previous.current) && isSettled(status)) {
      setDone(`${name} is done: ${describeStatus(status).label}.`);
    }
    previous.current = status;
  }, [name, status]);
  return (
    <p className={done ? "live done" : "live"} role="status">
      {done || (isWatching && "Live: updates as the job goes on.")}
    </p>
  );
}
