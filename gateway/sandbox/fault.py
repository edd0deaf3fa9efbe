"""One kind of fault, and which calls it can concern."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from gateway.sandbox.dose import Act
from gateway.sandbox.model import ASSUME_ROLE, OPERATIONS
from gateway.sandbox.questions import Question


def data_call(question: Question) -> bool:
    """Say whether the call is signed and asks for data."""
    return question.operation in OPERATIONS


def token_exchange(question: Question) -> bool:
    """Say whether a token is exchanged for credentials."""
    return question.operation == ASSUME_ROLE


def any_call(_question: Question) -> bool:
    """Say yes: every call."""
    return True


def list_call(question: Question) -> bool:
    """Say whether the answer has pages."""
    return question.is_list


def json_call(question: Question) -> bool:
    """Say whether the answer is JSON."""
    return question.operation != ASSUME_ROLE


def token_call(question: Question) -> bool:
    """Say whether a page is asked for by a token."""
    return question.next_token is not None


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong, with which settings (by default), and in which calls."""

    name: str
    description: str
    act: Act
    defaults: Mapping[str, object] = field(default_factory=dict)
    concerns: Callable[[Question], bool] = any_call
    # Of a setting that has few good values.
    accepted: Mapping[str, Collection[object]] = field(default_factory=dict)
