import { pick, useGraphiQL, useHeadersEditorState } from "@graphiql/react";
import { useEffect, useState } from "react";

import type { Answer, Answers, Cost } from "./answers";
import { hasBlanks, parseHeaders } from "./headers";

const FILL_IN = "Fill in your credentials under Headers, then run the query. This page does not store them.";
const NOTHING_YET = "No response yet.";

// What came last in the tab that is shown, below the response; before that, what to do, and a hint.
export function StatusBar({ answers, hint }: { answers: Answers; hint: string }) {
  const { tabs, activeTabIndex, isFetching } = useGraphiQL(pick("tabs", "activeTabIndex", "isFetching"));
  const tab = tabs[activeTabIndex].id;
  const [byTab, setByTab] = useState<Record<string, Answer>>({});
  const [headers] = useHeadersEditorState();
  useEffect(() => answers.listen((answer) => setByTab((others) => ({ ...others, [tab]: answer }))), [answers, tab]);
  const answer = byTab[tab];
  const lacksCredentials = hasBlanks(parseHeaders(headers) ?? {});
  const text = isFetching ? "Running …" : answer ? "" : `${lacksCredentials ? FILL_IN : NOTHING_YET} ${hint}`;
  return (
    <section className="status-bar" aria-label="Last response">
      <div role="status">
        {text || <Summary answer={answer} />}
        {!text && lacksCredentials && answer.codes.includes("UNAUTHENTICATED") && FILL_IN}
      </div>
      {!text && <Details answer={answer} />}
    </section>
  );
}

function Summary({ answer }: { answer: Answer }) {
  const { status, errors, codes, milliseconds, bytes, cost, events, isLive } = answer;
  const isGood = status !== undefined && status < 400 && !errors;
  return (
    <ul>
      <li className={isGood ? "good" : "bad"}>{status ? `HTTP ${status}` : "No response"}</li>
      {events !== undefined && <li>{isLive ? "Live" : "Ended"}</li>}
      {events !== undefined && <li>{count(events, "event")}</li>}
      <li>{errors ? [count(errors, "error"), codes.join(", ")].filter(Boolean).join(": ") : "No errors"}</li>
      {milliseconds !== undefined && <li>{Math.round(milliseconds).toLocaleString("en")} ms</li>}
      {bytes !== undefined && <li>{size(bytes)}</li>}
      {cost && <li>{count(cost.upstreamCalls, "AWS call")}</li>}
    </ul>
  );
}

// The same in words; the browser shows it above the page until it loses the focus.
function Details({ answer: { milliseconds, bytes, cost, events } }: { answer: Answer }) {
  return (
    <>
      <button type="button" className="explain" popoverTarget="explanation">
        Explain
      </button>
      <div popover="auto" id="explanation" role="dialog" aria-label="The last response, explained">
        <dl>
          {events !== undefined && (
            <Row name="Events">{`${events} so far: the state at first, then one for each change.`}</Row>
          )}
          {milliseconds !== undefined && (
            <Row name="Time">{`${milliseconds.toFixed(1)} ms from sending to the last byte, as this browser measures.`}</Row>
          )}
          {bytes !== undefined && <Row name="Size">{`${count(bytes, "byte")} of JSON, before compression.`}</Row>}
          {cost && <CostRows cost={cost} />}
          {!cost && events === undefined && (
            <Row name="Cost">Not reported: the request was rejected before it was executed, or got no response.</Row>
          )}
        </dl>
      </div>
    </>
  );
}

function CostRows({ cost: { estimate, upstreamCalls, cacheHits, retries, scanned, awsRequestIds } }: { cost: Cost }) {
  const { pages, details } = estimate;
  return (
    <>
      <Row name="AWS calls">
        {`${upstreamCalls} made. Estimated before: up to ${pages + details}, ${pages} for pages of lists and ${details} ` +
          "for single objects; more for what filters, orders and counts read. Limits apply to both."}
      </Row>
      <Row name="Cache">{`${count(cacheHits, "answer")} of AWS without a call: from the cache, or shared.`}</Row>
      <Row name="Retries">{String(retries)}</Row>
      <Row name="List items">{`${scanned} examined for the response, from the cache too.`}</Row>
      {awsRequestIds.length > 0 && <Row name="AWS request IDs">{awsRequestIds.join(", ")}</Row>}
    </>
  );
}

function Row({ name, children }: { name: string; children: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function count(number: number, noun: string): string {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}

function size(bytes: number): string {
  return bytes < 1000 ? count(bytes, "byte") : `${(bytes / 1000).toFixed(1)} kB`;
}
