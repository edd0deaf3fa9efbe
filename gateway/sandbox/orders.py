"""An order to switch a fault on, read from JSON and checked before anything happens."""

from collections.abc import Iterable, Mapping
from math import inf

from gateway.sandbox.callers import CALLERS
from gateway.sandbox.dose import Dose
from gateway.sandbox.fault import Fault
from gateway.sandbox.faults import FAULTS
from gateway.sandbox.model import OPERATIONS, UNSIGNED_OPERATIONS
from gateway.sandbox.outbreaks import Outbreak

_LIMITS = frozenset({"fault", "operation", "access_key_id", "times"})
_FIXED_KEYS = tuple(caller.access_key_id for caller in CALLERS.values())


class OrderError(Exception):
    """The order cannot be carried out; the message says what would be accepted."""


def read_order(
    order: Mapping[str, object], access_key_ids: Iterable[str] = _FIXED_KEYS
) -> Outbreak:
    """Give the outbreak that was ordered; it may be for one of these keys only."""
    name = order.get("fault")
    if not isinstance(name, str) or name not in FAULTS:
        raise OrderError(f"fault is {name!r}; known are: {_listed(FAULTS)}.")
    return Outbreak(
        fault=FAULTS[name],
        dose=Dose(_settings(FAULTS[name], order)),
        operation=_choice(order, "operation", (*OPERATIONS, *UNSIGNED_OPERATIONS)),
        access_key_id=_choice(order, "access_key_id", access_key_ids),
        times=_times(order.get("times")),
    )


def _choice(order: Mapping[str, object], name: str, accepted: Iterable[str]) -> str | None:
    value = order.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or value not in accepted:
        raise OrderError(f"{name} is {value!r}; accepted are null or: {_listed(accepted)}.")
    return value


def _times(value: object) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise OrderError(f"times is {value!r}; accepted are null or a whole number from 1.")
    return value


def _settings(fault: Fault, order: Mapping[str, object]) -> dict[str, object]:
    given = {name: value for name, value in order.items() if name not in _LIMITS}
    unknown = sorted(given.keys() - fault.defaults.keys())
    if unknown:
        accepted = _listed(_LIMITS | fault.defaults.keys())
        raise OrderError(f"{unknown[0]!r} is no setting of {fault.name}; accepted: {accepted}.")
    settings = {
        name: _setting(name, given.get(name, default), default)
        for name, default in fault.defaults.items()
    }
    for name, few in fault.accepted.items():
        if settings[name] not in few:
            listed = ", ".join(map(str, few))
            raise OrderError(f"{name} is {settings[name]!r}; accepted are: {listed}.")
    return settings


def _setting(name: str, value: object, default: object) -> object:
    # `value` is what the odd timestamp is replaced with: anything JSON can say is odd enough.
    if name == "value":
        return value
    if isinstance(default, str):
        if isinstance(value, str) and value.isprintable() and value.isascii():
            return value
        raise OrderError(f"{name} is {value!r}; accepted is printable ASCII text.")
    # To Python, true is a whole number; to whoever sends JSON it is a mistake.
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else -1
    if isinstance(default, float):
        if 0 <= number < inf:
            return number
        raise OrderError(f"{name} is {value!r}; accepted is a number from 0.")
    if isinstance(number, int) and number > 0:
        return number
    raise OrderError(f"{name} is {value!r}; accepted is a whole number from 1.")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
