"""Every fault the sandbox can have, in one table."""

from collections.abc import Mapping

from gateway.sandbox import deliveries, odd_answers, odd_pages, odd_rows, refusals, stalls
from gateway.sandbox.fault import (
    Fault,
    data_call,
    json_call,
    list_call,
    token_call,
    token_exchange,
)

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
        concerns=data_call,
    ),
    Fault(
        "sts-error",
        "STS refuses with this code, such as IDPRejectedClaim, RegionDisabledException",
        refusals.sts_error,
        {"code": "IDPCommunicationError"},
        token_exchange,
    ),
    Fault(
        "expired-next-token",
        "400 ValidationException for every call that carries a nextToken",
        refusals.expired_next_token,
        concerns=token_call,
    ),
    Fault("slow", "the answer comes after so many seconds", stalls.slow, {"seconds": 1.0}),
    Fault("hang", "no answer until healed, or until the caller leaves", stalls.hang),
    Fault("reset", "the connection is closed without an answer", stalls.reset),
    Fault(
        "flaky",
        "of all calls this part (0 to 1) fails: 500, 503, reset and so many seconds late in turn",
        stalls.flaky,
        {"rate": 0.5, "seconds": 1.0},
    ),
    Fault(
        "drip",
        "the body comes so many bytes at a time, every so many seconds",
        deliveries.drip,
        {"bytes": 1, "seconds": 1.0},
    ),
    Fault("half", "half of the body, then nothing until healed", deliveries.half),
    Fault(
        "huge",
        "the right answer, followed by so many megabytes of spaces",
        deliveries.huge,
        {"megabytes": 100},
    ),
    Fault(
        "gzip",
        "the same with Content-Encoding: gzip: small until it is unpacked",
        deliveries.gzip,
        {"megabytes": 100},
    ),
    Fault(
        "short-pages", "at most size items a page", odd_pages.short_pages, {"size": 1}, list_call
    ),
    Fault(
        "empty-pages",
        "count empty pages with a token before every real page",
        odd_pages.empty_pages,
        {"count": 1},
        list_call,
    ),
    Fault(
        "long-tokens",
        "every nextToken has 10,240 characters, many of which need encoding",
        odd_pages.long_tokens,
        concerns=list_call,
    ),
    Fault(
        "repeat-token",
        "a page asked for by a token carries that token again",
        odd_pages.repeat_token,
        concerns=token_call,
    ),
    Fault(
        "unknown-status",
        "a status outside the model, on so many rows",
        odd_rows.unknown_status,
        {"status": "CREATE_PAUSED", "rows": 1},
        data_call,
    ),
    Fault(
        "missing-field",
        "the first row lacks a field",
        odd_rows.missing_field,
        {"field": "name"},
        data_call,
    ),
    Fault(
        "odd-timestamp",
        "the first row's createTime is this value (text, or a number with --set value=0)",
        odd_rows.odd_timestamp,
        {"value": "yesterday"},
        data_call,
    ),
    Fault(
        "wrong-type",
        "a member of the first row (or rows, the list itself, or nextToken) is this value",
        odd_rows.wrong_type,
        {"member": "name", "value": {}},
        data_call,
    ),
    Fault("null-row", "the first row is null", odd_rows.null_row, concerns=list_call),
    Fault("html", "200 with a web page", odd_answers.html),
    Fault("truncated", "the body is cut in the middle", odd_answers.truncated),
    Fault(
        "redirect",
        "a status (301, 302, 303, 307 or 308) that points to a location",
        odd_answers.redirect,
        {"status": 302, "location": "http://127.0.0.1:9/elsewhere"},
        accepted={"status": (301, 302, 303, 307, 308)},
    ),
    Fault(
        "headers",
        "the right answer below so many headers of so many characters each",
        odd_answers.headers,
        {"count": 1000, "size": 1000},
    ),
    Fault("not-utf8", "the first text holds a byte that UTF-8 does not have", odd_answers.not_utf8),
    Fault(
        "deep",
        "one more member: lists nested so many deep",
        odd_answers.deep,
        {"depth": 100_000},
        json_call,
    ),
    Fault("cookie", "the answer sets a cookie", odd_answers.cookie),
)

FAULTS: Mapping[str, Fault] = {fault.name: fault for fault in _TABLE}
