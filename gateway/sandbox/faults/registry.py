"""The known faults, the requests that switch them on, and the active ones."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from math import inf

from gateway.sandbox.api.model import ASSUME_ROLE
from gateway.sandbox.api.operations import OPERATIONS, ApiCall, ApiResponse, Handler
from gateway.sandbox.data.accounts import CALLERS
from gateway.sandbox.faults import effects
from gateway.sandbox.faults.effects import Effect, FaultParameters

# The last two are not AWS operations but names for requests of the issuer's documents.
DISCOVERY = "GetOpenIdConfiguration"
UNSIGNED_OPERATIONS = (ASSUME_ROLE, "GetJwks", DISCOVERY)

_TARGET_MEMBERS = frozenset({"fault", "operation", "access_key_id", "times"})
_CALLER_KEY_IDS = tuple(caller.access_key_id for caller in CALLERS.values())


def _any_call(_call: ApiCall) -> bool:
    return True


def _data_call(call: ApiCall) -> bool:
    return call.operation in OPERATIONS


def _list_call(call: ApiCall) -> bool:
    return call.is_list


def _token_call(call: ApiCall) -> bool:
    return call.next_token is not None


def _json_call(call: ApiCall) -> bool:
    return call.operation != ASSUME_ROLE


def _discovery_call(call: ApiCall) -> bool:
    return call.operation == DISCOVERY


def _sts_call(call: ApiCall) -> bool:
    return call.operation == ASSUME_ROLE


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault, the defaults of its parameters, and the calls that it makes sense for."""

    name: str
    description: str
    effect: Effect
    defaults: Mapping[str, object] = field(default_factory=dict)
    supports: Callable[[ApiCall], bool] = _any_call
    choices: Mapping[str, Collection[object]] = field(default_factory=dict)


_FAULTS = (
    Fault(
        "throttle",
        "429 ThrottlingException; retry_after > 0 adds Retry-After (s) and x-amz-retry-after (ms)",
        effects.throttle,
        {"retry_after": 0.0},
    ),
    Fault("internal-error", "500 InternalServerException", effects.internal_error),
    Fault("unavailable", "503 ServiceUnavailableException", effects.unavailable),
    Fault("denied", "403 AccessDeniedException", effects.denied),
    Fault(
        "expired-token-credentials",
        "403 ExpiredTokenException for every signed call",
        effects.expired_credentials,
        supports=_data_call,
    ),
    Fault(
        "sts-error",
        "STS returns the error code, such as IDPRejectedClaim or RegionDisabledException",
        effects.sts_error,
        {"code": "IDPCommunicationError"},
        _sts_call,
    ),
    Fault(
        "expired-next-token",
        "400 ValidationException for every call with a nextToken",
        effects.expired_next_token,
        supports=_token_call,
    ),
    Fault("slow", "the response is delayed by seconds", effects.slow, {"seconds": 1.0}),
    Fault("hang", "no response until healed, or until the client disconnects", effects.hang),
    Fault("reset", "the connection is closed without a response", effects.reset),
    Fault(
        "flaky",
        "a share of calls (rate, 0 to 1) fails: 500, 503, reset and slow by seconds in turn",
        effects.flaky,
        {"rate": 0.5, "seconds": 1.0},
    ),
    Fault(
        "drip",
        "the body is sent in pieces of some bytes, with a pause of seconds after each",
        effects.drip,
        {"bytes": 1, "seconds": 1.0},
    ),
    Fault("half", "half of the body, and the rest when healed", effects.half),
    Fault(
        "huge",
        "the correct response, followed by megabytes of spaces",
        effects.huge,
        {"megabytes": 100},
    ),
    Fault(
        "gzip",
        "like huge, with Content-Encoding: gzip: small until it is decompressed",
        effects.gzip,
        {"megabytes": 100},
    ),
    Fault(
        "short-pages", "at most size items per page", effects.short_pages, {"size": 1}, _list_call
    ),
    Fault(
        "empty-pages",
        "count empty pages with a token before every real page",
        effects.empty_pages,
        {"count": 1},
        _list_call,
    ),
    Fault(
        "long-tokens",
        "every nextToken has 10,240 characters, many of which need encoding",
        effects.long_tokens,
        supports=_list_call,
    ),
    Fault(
        "repeat-token",
        "a page requested by a token has the same token as nextToken",
        effects.repeat_token,
        supports=_token_call,
    ),
    Fault(
        "empty-token",
        "the last page has an empty nextToken, where it should have none",
        effects.empty_token,
        supports=_list_call,
    ),
    Fault(
        "keys-query",
        "the address of the issuer's keys has a query in the discovery document",
        effects.keys_query,
        supports=_discovery_call,
    ),
    Fault(
        "unknown-status",
        "the first rows have a status outside the service model",
        effects.unknown_status,
        {"status": "CREATE_PAUSED", "rows": 1},
        _data_call,
    ),
    Fault(
        "missing-field",
        "the first row lacks a field",
        effects.missing_field,
        {"field": "name"},
        _data_call,
    ),
    Fault(
        "odd-timestamp",
        "the first row's createTime is value (text, or a number with --set value=0)",
        effects.unusual_timestamp,
        {"value": "yesterday"},
        _data_call,
    ),
    Fault(
        "wrong-type",
        "a member of the first row (or rows, the list itself, or nextToken) is value",
        effects.wrong_type,
        {"member": "name", "value": {}},
        _data_call,
    ),
    Fault("null-row", "the first row is null", effects.null_row, supports=_list_call),
    Fault("html", "200 with a web page", effects.html),
    Fault(
        "truncated", "only the first half of the body, with a matching length", effects.truncated
    ),
    Fault(
        "redirect",
        "a redirect to location with status 301, 302, 303, 307 or 308",
        effects.redirect,
        {"status": 302, "location": "http://127.0.0.1:9/elsewhere"},
        choices={"status": (301, 302, 303, 307, 308)},
    ),
    Fault(
        "headers",
        "the correct response with count more headers of size characters each",
        effects.headers,
        {"count": 1000, "size": 1000},
    ),
    Fault("not-utf8", "the first string contains a byte that is invalid UTF-8", effects.not_utf8),
    Fault(
        "deep",
        "an additional member with lists nested to a depth",
        effects.deep,
        {"depth": 100_000},
        _json_call,
    ),
    Fault("cookie", "the response sets a cookie", effects.cookie),
)
FAULTS: Mapping[str, Fault] = {fault.name: fault for fault in _FAULTS}


@dataclass(slots=True, eq=False)
class ActiveFault:
    """A fault that is on, for all calls or those of one operation or caller.

    `times` is the number of calls left, or None for no limit.
    """

    fault: Fault
    parameters: FaultParameters
    operation: str | None = None
    access_key_id: str | None = None
    times: int | None = None

    def applies_to(self, call: ApiCall) -> bool:
        return (
            self.times != 0
            and self.operation in {None, call.operation}
            and self.access_key_id in {None, call.caller.access_key_id}
            and self.fault.supports(call)
        )

    def wrap(self, handler: Handler) -> Handler:
        """Return a handler with the effect of this fault, and count a call."""
        if self.times is not None:
            self.times -= 1

        async def faulty_handler(call: ApiCall) -> ApiResponse:
            return await self.fault.effect(call, handler, self.parameters)

        return faulty_handler

    def describe(self) -> dict[str, object]:
        """Return the request that would switch this fault on as it is now."""
        return {
            "fault": self.fault.name,
            "operation": self.operation,
            "access_key_id": self.access_key_id,
            "times": self.times,
            **self.parameters.values,
        }


class ActiveFaults:
    """The faults that are on, in the order in which they were switched on.

    A fault whose `times` are used up remains until healed, because it may still delay a call.
    """

    def __init__(self, faults: Iterable[ActiveFault] = ()) -> None:
        self._faults = list(faults)

    def add(self, fault: ActiveFault) -> None:
        """Switch a fault on, in place of the same fault for the same calls."""
        target = (fault.fault, fault.operation, fault.access_key_id)
        self._heal(lambda old: (old.fault, old.operation, old.access_key_id) == target)
        self._faults.append(fault)

    def heal(self, name: str | None = None) -> int:
        """Switch faults off, all or those of one name; return how many were on."""
        return self._heal(lambda fault: name in {None, fault.fault.name})

    def _heal(self, selected: Callable[[ActiveFault], bool]) -> int:
        healed = [fault for fault in self._faults if selected(fault)]
        self._faults = [fault for fault in self._faults if not selected(fault)]
        for fault in healed:
            fault.parameters.healed.set()
        return len(healed)

    def describe(self) -> list[dict[str, object]]:
        return [fault.describe() for fault in self._faults if fault.times != 0]

    async def handle(self, call: ApiCall, handler: Handler) -> ApiResponse:
        """Handle a call with all faults that apply to it, the oldest outermost."""
        for fault in reversed(self._faults):
            if fault.applies_to(call):
                handler = fault.wrap(handler)
        return await handler(call)


class ControlRequestError(Exception):
    """A request to the control API is invalid; the message says what is accepted."""

    def __init__(self, message: str, status: int = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(message)
        self.status = status


def parse_fault_request(
    body: Mapping[str, object], access_key_ids: Iterable[str] = _CALLER_KEY_IDS
) -> ActiveFault:
    """Return the fault that a control request describes.

    Raises ControlRequestError if the request is invalid.
    """
    name = body.get("fault")
    if not isinstance(name, str) or name not in FAULTS:
        raise ControlRequestError(f"fault is {name!r}. Accepted: {_listed(FAULTS)}.")
    times = body.get("times")
    if times is not None and (type(times) is not int or times < 1):
        raise ControlRequestError(f"times is {times!r}. Accepted: null or a whole number from 1.")
    return ActiveFault(
        fault=FAULTS[name],
        parameters=FaultParameters(_parameters(FAULTS[name], body)),
        operation=_choice(body, "operation", (*OPERATIONS, *UNSIGNED_OPERATIONS)),
        access_key_id=_choice(body, "access_key_id", access_key_ids),
        times=times,
    )


def _choice(body: Mapping[str, object], name: str, accepted: Iterable[str]) -> str | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or value not in accepted:
        raise ControlRequestError(f"{name} is {value!r}. Accepted: null, {_listed(accepted)}.")
    return value


def _parameters(fault: Fault, body: Mapping[str, object]) -> dict[str, object]:
    values = {name: value for name, value in body.items() if name not in _TARGET_MEMBERS}
    unknown = sorted(values.keys() - fault.defaults.keys())
    if unknown:
        accepted = _listed(_TARGET_MEMBERS | fault.defaults.keys())
        raise ControlRequestError(
            f"{fault.name} has no parameter {unknown[0]!r}. Accepted: {accepted}."
        )
    parameters = {
        name: _parameter(name, values.get(name, default), default)
        for name, default in fault.defaults.items()
    }
    for name, choices in fault.choices.items():
        if parameters[name] not in choices:
            accepted = ", ".join(map(str, choices))
            raise ControlRequestError(f"{name} is {parameters[name]!r}. Accepted: {accepted}.")
    return parameters


def _parameter(name: str, value: object, default: object) -> object:
    """Check that a value has the type of the default, and return it."""
    if name == "value":  # replaces a member of a response, so any JSON is meaningful
        return value
    if isinstance(default, str):
        accepted = "printable ASCII text"
        valid = isinstance(value, str) and value.isprintable() and value.isascii()
    elif isinstance(default, float):
        accepted = "a number from 0"
        valid = type(value) in {int, float} and 0 <= value < inf  # type: ignore[operator]
    else:
        accepted = "a whole number from 1"
        valid = type(value) is int and value > 0
    if not valid:
        raise ControlRequestError(f"{name} is {value!r}. Accepted: {accepted}.")
    return value


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
