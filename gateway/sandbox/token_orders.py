"""An order for an ID token, read from JSON and checked before anything is signed."""

import json
from collections.abc import Mapping
from dataclasses import fields

from gateway.sandbox.id_tokens import (
    DEFAULT_ALGORITHM,
    DEFAULT_AUDIENCE,
    DEFAULT_SECONDS,
    TokenOrder,
)
from gateway.sandbox.issuer_keys import ALGORITHMS
from gateway.sandbox.orders import OrderError

_MEMBERS = frozenset(field.name for field in fields(TokenOrder))
_FARTHEST_SECONDS = 10 * 365 * 86_400


def read_token_order(order: Mapping[str, object]) -> TokenOrder:
    """Give what was ordered."""
    unknown = sorted(order.keys() - _MEMBERS)
    if unknown:
        accepted = ", ".join(sorted(_MEMBERS))
        raise OrderError(f"{unknown[0]!r} is no member of a token order; accepted: {accepted}.")
    return TokenOrder(
        subject=_text("subject", order.get("subject")),
        audience=_text("audience", order.get("audience", DEFAULT_AUDIENCE)),
        algorithm=_algorithm(order.get("algorithm", DEFAULT_ALGORITHM)),
        seconds=_seconds(order.get("seconds", DEFAULT_SECONDS)),
        claims=_claims(order.get("claims", {})),
    )


def _text(name: str, value: object) -> str:
    if isinstance(value, str) and value and value.isprintable():
        return value
    raise OrderError(f"{name} is {value!r}; accepted is printable text, such as ada.")


def _algorithm(value: object) -> str:
    if isinstance(value, str) and value in ALGORITHMS:
        return value
    raise OrderError(f"algorithm is {value!r}; accepted are: {', '.join(ALGORITHMS)}.")


def _seconds(value: object) -> int:
    # Below zero is meant: a token that has already ended.
    whole = isinstance(value, int) and not isinstance(value, bool)
    if isinstance(value, int) and whole and abs(value) <= _FARTHEST_SECONDS:
        return value
    raise OrderError(f"seconds is {value!r}; accepted is a whole number, ten years at most.")


def _claims(value: object) -> dict[str, object]:
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except ValueError:
        raise OrderError("claims holds what JSON in UTF-8 cannot.") from None
    if isinstance(value, dict):
        return value
    raise OrderError(f'claims is {value!r}; accepted is an object such as {{"groups": ["eu"]}}.')
