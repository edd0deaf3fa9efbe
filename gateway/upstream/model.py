"""What the upstream's own service model says: the shapes of its questions and answers."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from botocore.loaders import Loader
from botocore.model import ServiceModel, StructureShape

from gateway.errors import BadUserInputError

SERVICE = "cleanroomsml"


@cache
def loader() -> Loader:
    """Give the loader of what botocore ships, and of nothing that lies in a home directory."""
    return Loader(extra_search_paths=[Loader.BUILTIN_DATA_PATH], include_default_search_paths=False)


@cache
def service_model() -> ServiceModel:
    """Load botocore's description of Clean Rooms ML; no environment variable has a say in it."""
    description: Any = loader().load_service_model(SERVICE, "service-2")
    return ServiceModel(description, service_name=SERVICE)


@dataclass(frozen=True, slots=True)
class Constraint:
    """What an input member must look like: a length in characters and a pattern."""

    minimum: int
    maximum: int | None
    pattern: re.Pattern[str] | None

    def accepts(self, value: str) -> bool:
        """Say whether the upstream would take the value."""
        # The length first: a pattern never runs over a text that is too long anyway.
        if len(value) < self.minimum or (self.maximum is not None and len(value) > self.maximum):
            return False
        return self.pattern is None or self.pattern.fullmatch(value) is not None

    def __str__(self) -> str:
        """Tell a person what is accepted."""
        if self.minimum == self.maximum:
            length = f"{self.minimum} characters"
        else:
            length = f"{self.minimum} to {self.maximum} characters"
        return length if self.pattern is None else f"{length} matching {self.pattern.pattern}"


@cache
def constraint(operation: str, member: str) -> Constraint:
    """Read the constraint on an operation's input member."""
    return _constraint(_input(operation).members[member].metadata)


@cache
def output_constraint(operation: str, member: str) -> Constraint:
    """Read the constraint on a member of the objects that an operation answers with."""
    return _constraint(_row(operation)[1].members[member].metadata)


def _constraint(metadata: Mapping[str, Any]) -> Constraint:
    pattern = metadata.get("pattern")
    return Constraint(
        metadata.get("min", 0), metadata.get("max"), re.compile(pattern) if pattern else None
    )


def check_input(operation: str, member: str, value: str, *, argument: str) -> str:
    """Return the value if the upstream would take it.

    Raises BadUserInputError that names the argument and what is accepted.
    """
    accepted = constraint(operation, member)
    if not accepted.accepts(value):
        raise BadUserInputError(f"`{argument}` is not valid. Accepted: {accepted}.")
    return value


@dataclass(frozen=True, slots=True)
class RowShape:
    """What each object in an answer must have.

    Timestamps are among the texts too.
    """

    within: str | None
    """The member of the answer that lists the objects; None where the answer is the object."""
    texts: tuple[str, ...]
    timestamps: tuple[str, ...]
    required: frozenset[str]
    members: frozenset[str]


@cache
def row_shape(operation: str) -> RowShape:
    """Read what a List or Get operation answers with."""
    within, row = _row(operation)
    kinds = {name: shape.type_name for name, shape in row.members.items()}
    timestamps = tuple(name for name, kind in kinds.items() if kind == "timestamp")
    texts = tuple(name for name, kind in kinds.items() if kind == "string")
    required = frozenset(row.required_members)
    return RowShape(within, texts + timestamps, timestamps, required, frozenset(kinds))


def _row(operation: str) -> tuple[str | None, Any]:
    shape: Any = service_model().operation_model(operation).output_shape
    if not operation.startswith("List"):
        return None, shape
    return next((n, s.member) for n, s in shape.members.items() if s.type_name == "list")


def _input(operation: str) -> StructureShape:
    shape = service_model().operation_model(operation).input_shape
    assert shape is not None  # noqa: S101  each operation of this service has inputs
    return shape
