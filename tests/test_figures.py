"""Figures in the documentation are those of the code."""

import re
from pathlib import Path

import pytest

from gateway import outgoing, setting_files
from gateway.auth import jwks, sts
from gateway.graph import meter
from gateway.graph.execution import documents, executor, limits, result_stream
from gateway.http import (
    middleware,
    parameters,
    persisted_documents,
    requests,
    streams,
    subscriptions,
)
from gateway.server import lifecycle, protocol, sending
from gateway.settings import Settings
from gateway.telemetry import metrics
from gateway.upstream import client, values
from gateway.upstream.cache import redis, redis_node
from gateway.upstream.resilience import callers, circuit_breaker, rate_limit
from gateway.upstream.resilience import client as resilience
from gateway.watch import memory, poll, sources

DOCS = Path(__file__).parents[1] / "docs"
KIB, MIB = 1024, 1024**2
WORDS: dict[float, str] = {
    1: "one",
    2: "two",
    3: "three",
    4: "four",
    5: "five",
    10: "ten",
    20: "twenty",
}
ORDINARY = {name: field.default for name, field in Settings.model_fields.items()}
ATTEMPT_SECONDS = outgoing.CONNECT_SECONDS + outgoing.RESPONSE_SECONDS
CALLS, PAGE = ORDINARY["max_upstream_calls"], values.PAGE_SIZE
DEADLINE = ORDINARY["deadline_seconds"]
BURST = ORDINARY["caller_calls_per_second"] * rate_limit.WINDOW_SECONDS
ATTEMPT = f"{ATTEMPT_SECONDS:g} seconds"
SILENT = f"{outgoing.RESPONSE_SECONDS:g} without data"

OPERATIONS = (
    f"less than {metrics.SHARED_BYTES_PER_WORKER // MIB} MiB free per worker",
    f"gives requests in progress up to {lifecycle.STOP_SECONDS} seconds",
    f"Allow {ORDINARY['drain_seconds'] + lifecycle.STOP_SECONDS + 5:g} seconds before SIGKILL",
    f"Idle connections are kept for {lifecycle.KEEP_ALIVE_SECONDS} seconds",
    (
        f"| Head of a request | {middleware.MAX_HEAD_BYTES // KIB} KiB, "
        f"{middleware.MAX_HEADERS} headers |"
    ),
    f"| `Accept` header | {requests.MAX_ACCEPT_CHARACTERS:,} characters |",
    f"| Characters in a document | {documents.MAX_DOCUMENT_CHARACTERS:,} |",
    f"a subscription, which it keeps | {result_stream.MAX_SUBSCRIPTION_SIZE:,} characters |",
    f"A file may have {setting_files.MAX_FILE_BYTES // MIB} MiB;",
    (
        "in the memory of each process: up to "
        f"{persisted_documents.MAX_REMEMBERED_BYTES // MIB} MiB, of which"
    ),
    (
        "| Documents that are remembered by their hash, per process | "
        f"{persisted_documents.MAX_REMEMBERED_BYTES // MIB} MiB, a quarter of it per caller |"
    ),
    f"brackets and braces | {parameters.MAX_JSON_VALUES:,} |",
    f"introspection query selects ten | {limits.MAX_INTROSPECTION_LISTS} |",
    f"| Time for a request to arrive | {protocol.READ_SECONDS} s,",
    (
        f"bodies of up to {requests.SMALL_BODY_BYTES // KIB} KiB are exempt | "
        f"{requests.MAX_PENDING_BYTES // MIB} MiB |"
    ),
    (
        f"take {sending.MIN_TAKEN_BYTES // MIB} MiB of a response, or the rest of it | "
        f"{protocol.WRITE_SECONDS} s |"
    ),
    f"until its last byte is taken | {sending.MAX_UNSENT_BYTES // MIB} MiB |",
    f"Concurrent calls to AWS per caller and region | {resilience.CALLER_SLOTS} |",
    f"accepted none within {callers.PROVED_SECONDS / 60:g} minutes | 1 |",
    f"refused for its credentials | {callers.REFUSED_SECONDS:g} s |",
    (
        f"| {outgoing.CONNECT_SECONDS:g} s to connect, {outgoing.RESPONSE_SECONDS:g} s without "
        f"data, {ATTEMPT_SECONDS:g} s in total | the next of {resilience.ATTEMPTS} attempts |"
    ),
    f"| Errors listed in a response | {executor.MAX_LISTED_ERRORS} |",
    f"| {executor.MAX_LISTED_ERRORS} errors | errors that are listed",
    f"| Response of AWS | {client.MAX_RESPONSE_BYTES // MIB} MiB |",
    f"{protocol.RESERVED_FILES}, at most {protocol.MAX_CONNECTIONS:,}",
    f"| Connections to the admin port, per process | {lifecycle.ADMIN_CONNECTIONS} |",
    f"up to {redis.CONNECTIONS + redis_node.SPARE_CONNECTIONS} connections of each process",
    f"An operation computes for {meter.SLICE_SECONDS * 1000:g} ms at a time",
    f"lets one operation read {CALLS * PAGE:,} rows",
    f"after {CALLS} calls | the matches so far",
    (
        f"after {DEADLINE} s: {CALLS} calls of {DEADLINE / CALLS * 1000:g} ms, or 60 of "
        f"{DEADLINE / 60 * 1000:.0f} ms |"
    ),
    f"after {BURST} calls of the caller in {rate_limit.WINDOW_SECONDS} s, such as six whole",
    (
        f"a walk of {DEADLINE} s has lost its first pages from a cache of "
        f"{ORDINARY['cache_seconds']} s"
    ),
    f"responses exceed their {sending.MAX_UNSENT_BYTES // MIB} MiB",
    f"up to {protocol.LINGER_BYTES // MIB} MiB for up to {protocol.LINGER_SECONDS} seconds",
    f"accepted a call of theirs within the last {WORDS[callers.PROVED_SECONDS / 60]} minutes",
    f"refused within the last {callers.REFUSED_SECONDS:g} seconds |",
    f"up to {WORDS[resilience.ATTEMPTS]} times, each for at most {ATTEMPT} ({SILENT})",
    (
        f"After {WORDS[circuit_breaker.SERVICE_FAILURES]} failures in a row, of which at most "
        f"{WORDS[circuit_breaker.CALLER_FAILURES]} may be one caller's"
    ),
    f"STS, opens, with one probe every {WORDS[circuit_breaker.RESET_SECONDS]} seconds",
    f"after {WORDS[jwks.FAILURES]} failed fetches of its keys",
    f"without a response for {WORDS[circuit_breaker.UNRESPONSIVE_SECONDS]} seconds counts",
    (
        f"is a cache miss within {redis.GET_SECONDS * 1000:g} ms, never an error. After "
        f"{WORDS[redis.FAILURES]} failures in a row"
    ),
    f"with {WORDS[redis.RESET_SECONDS]} probe per second",
    (
        f"A connection has {outgoing.CONNECT_SECONDS:g} seconds, each wait for data "
        f"{outgoing.RESPONSE_SECONDS:g}, and an attempt {ATTEMPT_SECONDS:g} in total"
    ),
    f"refreshed {WORDS[sts.REFRESH_SECONDS / 60]} to six minutes before it expires",
    f"until {WORDS[sts.EXPIRY_MARGIN_SECONDS / 60]} minute before its expiry",
    f"which must be below {redis.GET_SECONDS * 1000:g} ms",
    (
        f"did not respond in time: {ATTEMPT} per attempt ({SILENT}), {WORDS[resilience.ATTEMPTS]} "
        "attempts"
    ),
    f"one probe is made every {WORDS[circuit_breaker.RESET_SECONDS]} seconds",
    f"Idle timeout below {lifecycle.KEEP_ALIVE_SECONDS} seconds",
    f"a sign of life every {streams.HEARTBEAT_SECONDS:g} seconds",
    (
        f"no more often than every {sources.SECONDS_PER_PAGE:g} seconds per page: one of "
        f"1,000 jobs every {1000 / PAGE * sources.SECONDS_PER_PAGE:g} seconds"
    ),
    (
        f"one caller may have {subscriptions.PER_CALLER}, or "
        f"{100 / subscriptions.CALLER_FRACTION:g} % if that is more"
    ),
    (
        "all callers whom it has not accepted yet may have "
        f"{100 / subscriptions.UNPROVED_FRACTION:g} % of them together"
    ),
    (
        f"What is watched takes up to {memory.MAX_BYTES // MIB} MiB, "
        f"that of one caller up to {memory.MAX_BYTES // memory.CALLER_FRACTION // MIB} MiB"
    ),
    f"| Time that a subscription lasts | {subscriptions.MAX_SECONDS / 3600:g} hour |",
    f"AWS are waited out in a subscription | {poll.FAILURE_SECONDS:g} s |",
    f"| Watched lists and objects, in memory | {memory.MAX_BYTES // MIB} MiB, a quarter",
)
ARCHITECTURE = (
    (
        f"{protocol.READ_SECONDS} seconds for a request to arrive, "
        f"{middleware.MAX_HEAD_BYTES // KIB} KiB and {middleware.MAX_HEADERS} headers for its head"
    ),
    f"Every {WORDS[meter.SLICE_SECONDS * 1000]} milliseconds the operation lets others continue",
    f"and every {WORDS[meter.SLICE_SECONDS * 1000]} milliseconds of execution",
    (
        f"Of the {WORDS[circuit_breaker.SERVICE_FAILURES]} consecutive failures that open it, at "
        f"most {WORDS[circuit_breaker.CALLER_FAILURES]} may be one caller's"
    ),
    f"A page keeps {values.MAX_DERIVED} such things",
)
PAGES = {"operations.md": OPERATIONS, "architecture.md": ARCHITECTURE}

MEASURED = ("## Sizing", "| `GATEWAY_LIMIT_ANSWER_BYTES` |")
"""Beginnings of a section and of a line that report what was measured."""

OF_OTHERS = (
    "an ALB's 60",
    "(the default is 60)",
    "interval 5 s",
    "ALB accepts",
    "Allow heads of",
    "Its response timeout",
    "HTTP APIs collect",
    "A REST API with",
    "HAProxy holds each event",
    "needs nothing for subscriptions: it does not buffer",
    "When its configuration changes",
    "Envoy ends a whole response",
)
"""Figures of other products, up to the end of their sentence."""

FIGURE = re.compile(
    r"\d[\d,.]*\s(?:s|ms|seconds?|minutes?|KiB|MiB|[kKM]B|headers|characters|connections)\b"
    rf"|\b(?:{'|'.join(WORDS.values())})\s(?:milliseconds|seconds|minutes|failures|attempts)\b"
)
"""A number with a unit."""


def _prose(page: str) -> str:
    """Return a page without generated tables, examples and what was measured, on one line."""
    section, line = map(re.escape, MEASURED)
    left_out = (
        r"<!-- (\w+): generated.*?<!-- /\1 -->",
        r"^```\w*\n.*?^```",
        rf"^{section}\n.*?(?=^## )",
        rf"^{line}.*?$",
    )
    text = (DOCS / page).read_text(encoding="utf-8")
    for pattern in left_out:
        text = re.sub(pattern, "", text, flags=re.DOTALL | re.MULTILINE)
    return " ".join(text.split())


@pytest.mark.parametrize("page", PAGES)
def test_figures_are_those_of_the_code(page: str) -> None:
    text = _prose(page)

    assert [phrase for phrase in PAGES[page] if phrase not in text] == []


@pytest.mark.parametrize("page", PAGES)
def test_each_figure_is_held(page: str) -> None:
    """A figure that is new in the text needs a phrase here, which names where it is from."""
    text = _prose(page)
    for phrase in PAGES[page]:
        text = text.replace(phrase, "")
    for beginning in OF_OTHERS:
        text = re.sub(rf"{re.escape(beginning)}[^.;]*", "", text)

    assert [text[max(0, found.start() - 60) : found.end()] for found in FIGURE.finditer(text)] == []
