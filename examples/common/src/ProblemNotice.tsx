import { useEffect, useState } from "react";
import { adviceFor, type Problem } from "./problems";

const DEFAULT_SECONDS = 5;

interface Props {
  readonly problem: Problem;
  /** What is missing because of it, such as "Exports". */
  readonly subject?: string;
  readonly onRetry?: () => void;
}

/** Says what went wrong and what to do; counts down where trying again later helps. */
export function ProblemNotice({ problem, subject, onRetry }: Props) {
  const { title, text, retry } = adviceFor(problem);
  return (
    <div className="notice" data-code={problem.code}>
      <p role="alert">
        <strong>{subject ? `${subject}: ${title}` : title}.</strong> {text}{" "}
        <span className="quiet">{problem.message}</span>
      </p>
      {onRetry && retry === "automatic" && (
        <Countdown seconds={problem.retryAfter ?? DEFAULT_SECONDS} problem={problem} onEnd={onRetry} />
      )}
      {onRetry && retry !== "none" && (
        <button type="button" onClick={onRetry}>
          {retry === "automatic" ? "Try now" : "Try again"}
        </button>
      )}
    </div>
  );
}

interface CountdownProps {
  readonly seconds: number;
  /** Each new problem starts a new countdown, also one with the same seconds. */
  readonly problem: Problem;
  readonly onEnd: () => void;
}

function Countdown({ seconds, problem, onEnd }: CountdownProps) {
  const [left, setLeft] = useState(seconds);
  const isOver = left <= 0;

  useEffect(() => {
    const end = Date.now() + seconds * 1000;
    const show = () => setLeft(Math.max(0, Math.ceil((end - Date.now()) / 1000)));
    show();
    const timer = setInterval(show, 250);
    return () => clearInterval(timer);
  }, [seconds, problem]);

  useEffect(() => {
    if (isOver) onEnd();
    // Once for each countdown, whatever function the page passes meanwhile.
  }, [isOver]);

  return <span className="countdown">{isOver ? "Trying again …" : `Again in ${left} s`}</span>;
}
