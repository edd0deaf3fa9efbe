"""What is believed of the trace context in a request's headers.

Source: W3C Trace Context. Anybody may send anything, so what is not exactly as it must be is not
there; `baggage` is never read. None of it is passed on.
"""

import re
from collections.abc import Iterable

MAX_STATE = 512
"""Bytes of a `tracestate`: what W3C asks of everybody to carry."""

MAX_MEMBERS = 32

_PARENT = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

_KEY = rb"(?:[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
_VALUE = rb"[ -+\--<>-~]{0,255}[!-+\--<>-~]"
_MEMBER = re.compile(rb"[ \t]*" + _KEY + rb"=" + _VALUE + rb"[ \t]*")


def parse_trace_context(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return `traceparent`, and `tracestate` beside it, as far as they are as they must be."""
    parents, states = [], []
    for name, value in headers:
        if name == b"traceparent":
            parents.append(value)
        elif name == b"tracestate":
            states.append(value)
    if len(parents) != 1 or not _PARENT.fullmatch(parents[0]):
        return {}
    context = {"traceparent": parents[0].decode("ascii")}
    state = b",".join(states)
    if _is_state(state):
        context["tracestate"] = state.decode("ascii")
    return context


def _is_state(state: bytes) -> bool:
    if len(state) > MAX_STATE:
        return False
    members = state.split(b",")
    return len(members) <= MAX_MEMBERS and all(map(_MEMBER.fullmatch, members))
