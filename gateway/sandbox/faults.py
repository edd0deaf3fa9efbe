"""Every fault the sandbox can have, in one table."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gateway.sandbox import odd_answers, odd_pages, odd_rows, refusals, stalls
from gateway.sandbox.dose import Act
from gateway.sandbox.model import ASSUME_ROLE, OPERATIONS
from gateway.sandbox.questions import Question


def _data_call(question: Question) -> bool:
    return question.operation in OPERATIONS


def _token_exchange(question: Question) -> bool:
    return question.operation == ASSUME_ROLE


def _any_call(_question: Question) -> bool:
    return True


def _list_call(question: Question) -> bool:
    return question.is_list


def _token_call(question: Question) -> bool:
    return question.next_token is not None


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong, with which settings (by default), and in which calls."""

    name: str
    description: str
    act: Act
    defaults: Mapping[str, object] = field(default_factory=dict)
    concerns: Callable[[Question], bool] = _any_call


_TABLE = (
    Fault(
        "throttle",
        "429 ThrottlingException; retry_after > 0 adds Retry-After (s) and x-amz-retry-after (ms)",
        refusals.throttle,
        {"retry_after": 0.0},
    ),
    Fault("internal-error", "500 InternalServerException", refusals.internal_error),
    Fault("unavailable", "503 ServiceUnavailableException", refusals.unavailable),
    Fault("denied", "403 AccessDeniedException", refusals.denied),
    Fault(
        "expired-token-credentials",
        "403 ExpiredTokenException for every signed call",
        refusals.expired_credentials,
        concerns=_data_call,
    ),
    Fault(
        "sts-error",
        "STS refuses with this code, such as IDPRejectedClaim, RegionDisabledException",
        refusals.sts_error,
        {"code": "IDPCommunicationError"},
        _token_exchange,
    ),
    Fault(
        "expired-next-token",
        "400 ValidationException for every call that carries a nextToken",
        refusals.expired_next_token,
        concerns=_token_call,
    ),
    Fault("slow", "the answer comes after so many seconds", stalls.slow, {"seconds": 1.0}),
    Fault("hang", "no answer until healed, or until the caller leaves", stalls.hang),
    Fault("reset", "the connection is closed without an answer", stalls.reset),
    Fault(
        "short-pages", "at most size items a page", odd_pages.short_pages, {"size": 1}, _list_call
    ),
    Fault(
        "empty-pages",
        "count empty pages with a token before every real page",
        odd_pages.empty_pages,
        {"count": 1},
        _list_call,
    ),
    Fault(
        "long-tokens",
        "every nextToken has 10,240 characters, many of which need encoding",
        odd_pages.long_tokens,
        concerns=_list_call,
    ),
    Fault(
        "repeat-token",
        "a page asked for by a token carries that token again",
        odd_pages.repeat_token,
        concerns=_token_call,
    ),
    Fault(
        "unknown-status",
        "a status outside the model, on so many rows",
        odd_rows.unknown_status,
        {"status": "CREATE_PAUSED", "rows": 1},
        _data_call,
    ),
    Fault(
        "missing-field",
        "the first row lacks a field",
        odd_rows.missing_field,
        {"field": "name"},
        _data_call,
    ),
    Fault(
        "odd-timestamp",
        "the first row's createTime is this value (text, or a number with --set value=0)",
        odd_rows.odd_timestamp,
        {"value": "yesterday"},
        _data_call,
    ),
    Fault("null-row", "the first row is null", odd_rows.null_row, concerns=_list_call),
    Fault("html", "200 with a web page", odd_answers.html),
    Fault("truncated", "the body is cut in the middle", odd_answers.truncated),
    Fault(
        "redirect",
        "302 to a location",
        odd_answers.redirect,
        {"location": "http://127.0.0.1:9/elsewhere"},
    ),
    Fault("cookie", "the answer sets a cookie", odd_answers.cookie),
)

FAULTS: Mapping[str, Fault] = {fault.name: fault for fault in _TABLE}
