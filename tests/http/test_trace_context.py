"""What is believed of a request's trace context: what is exactly as it must be."""

import logging

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from gateway.http.trace_context import parse_trace_context

PARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    "parent",
    [
        b"",
        b"00",
        b"01" + PARENT[2:],
        b"ff" + PARENT[2:],
        PARENT.upper(),
        PARENT + b"-x",
        PARENT + b" ",
        b" " + PARENT,
        PARENT + b"\n",
        PARENT.replace(b"b7ad", "\u0967ad".encode()),
        PARENT.replace(b"b7ad6b7169203331", b"0" * 16),
        PARENT.replace(b"0af7651916cd43dd8448eb211c80319c", b"0" * 32),
        PARENT * 20_000,
    ],
)
def test_a_bad_parent_is_none(parent: bytes) -> None:
    """And then there is no state either, whatever stands beside it."""
    assert parse_trace_context([(b"traceparent", parent), (b"tracestate", b"a=b")]) == {}


def test_two_parents_are_none() -> None:
    """Which of them counts would be chance."""
    assert parse_trace_context([(b"traceparent", PARENT)] * 2) == {}


@pytest.mark.parametrize(
    ("states", "kept"),
    [
        ([b"a=b"], "a=b"),
        ([b"a=b", b"c@d=e f"], "a=b,c@d=e f"),
        ([b"a=b, c=d"], "a=b, c=d"),
        ([b"a=" + b"b" * 256, b"c=" + b"d" * 256], None),
        ([b"a=b"] * 33, None),
        ([b"a=" + b"b" * 257], None),
        ([b"A=b"], None),
        ([b"a=b=c"], None),
        ([b"a"], None),
        ([b""], None),
        ([b"a=\xff"], None),
        ([b"a=b,," + b"x" * 100_000], None),
    ],
)
def test_a_state_is_kept_if_it_is_short_and_good(states: list[bytes], kept: str | None) -> None:
    """One that is not takes nothing from the parent."""
    found = parse_trace_context(
        [(b"traceparent", PARENT), *((b"tracestate", state) for state in states)]
    )

    assert found.pop("traceparent") == PARENT.decode()
    assert found.get("tracestate") == kept


ALPHABET = st.sampled_from([*b"ab0@=,- \t*/_A~", 0xFF, 0x0A])


@given(st.lists(st.lists(ALPHABET, max_size=40).map(bytes), max_size=4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_library_has_nothing_to_complain_of(
    caplog: pytest.LogCaptureFixture, states: list[bytes]
) -> None:
    """It would write what it does not like into the log, where no header belongs."""
    headers = [(b"traceparent", PARENT), *((b"tracestate", state) for state in states)]
    with caplog.at_level(logging.DEBUG):
        context = TraceContextTextMapPropagator().extract(parse_trace_context(headers), Context())

    assert trace.get_current_span(context).get_span_context().is_valid
    assert caplog.records == []
