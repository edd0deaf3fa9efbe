"""Completion of values: a selection set, compiled to a function of what AWS returned.

graphql-core resolves and completes each field of each value by itself, which takes 40 µs a field.
A property test verifies that the result is the same.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from graphql import (
    GraphQLEnumType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
)
from graphql.execution import Executor
from graphql.execution.collect_fields import FieldDetailsList

from gateway.graph.meter import Meter
from gateway.graph.types.values import UNKNOWN

Complete = Callable[[Any], Any]

INVALID = (TypeError, KeyError, AttributeError, ValueError)
"""What a completer raises for a value that does not have the form of its type."""

INT_RANGE = range(-(2**31), 2**31)


class Completer(NamedTuple):
    complete: Complete
    size: int
    """How many values it completes, without those of lists, which it charges by itself."""


def compile_value(
    executor: Executor[Any], meter: Meter, of_type: GraphQLOutputType, selected: FieldDetailsList
) -> Completer:
    """Compile the completion of a value of this type, by the fields selected below it."""
    if isinstance(of_type, GraphQLNonNull):
        inner, size = compile_value(executor, meter, of_type.of_type, selected)
        return Completer(_required(inner), size)
    if isinstance(of_type, GraphQLList):
        inner, size = compile_value(executor, meter, of_type.of_type, selected)
        return Completer(_list_of(inner, max(1, size), meter), 0)
    if isinstance(of_type, GraphQLObjectType):
        return _compile_object(executor, meter, of_type, selected)
    if isinstance(of_type, GraphQLEnumType):
        return Completer(_name_of({each.value: name for name, each in of_type.values.items()}), 0)
    return Completer(SCALARS.get(of_type.name, _string), 0)


def _compile_object(
    executor: Executor[Any],
    meter: Meter,
    of_type: GraphQLObjectType,
    selected: FieldDetailsList,
) -> Completer:
    members: list[tuple[str, str, Complete]] = []
    size = 0
    for response_name, details in executor.collect_subfields(
        of_type, selected
    ).grouped_field_set.items():
        name = details[0].node.name.value
        if name == "__typename":
            complete, below = _constant(of_type.name), 0
        else:
            complete, below = compile_value(executor, meter, of_type.fields[name].type, details)
        members.append((response_name, name, complete))
        size += 1 + below

    def complete_object(value: Any) -> Any:
        if value is None:
            return None
        return {
            response_name: complete(value.get(member))
            for response_name, member, complete in members
        }

    return Completer(complete_object, size)


def _required(complete: Complete) -> Complete:
    def complete_required(value: Any) -> Any:
        if value is None:
            raise ValueError("a required member is absent")
        return complete(value)

    return complete_required


def _list_of(complete: Complete, size: int, meter: Meter) -> Complete:
    def complete_list(values: Any) -> Any:
        if values is None:
            return None
        if type(values) is not list:
            raise TypeError("not a list")
        meter.charge_values(len(values) * size)
        return [complete(value) for value in values]

    return complete_list


def _name_of(names: Mapping[str, str]) -> Complete:
    def complete_enum(value: Any) -> Any:
        return None if value is None else names.get(_string(value), UNKNOWN)

    return complete_enum


def _constant(value: str) -> Complete:
    return lambda _: value


def _string(value: Any) -> Any:
    if value is not None and type(value) is not str:
        raise TypeError("not a string")
    return value


def _int(value: Any) -> Any:
    if value is not None and (type(value) is not int or value not in INT_RANGE):
        raise TypeError("not an integer of 32 bits")
    return value


def _float(value: Any) -> Any:
    if value is None:
        return None
    if type(value) is not float and type(value) is not int:
        raise TypeError("not a number")
    return float(value)


def _boolean(value: Any) -> Any:
    if value is not None and type(value) is not bool:
        raise TypeError("not a boolean")
    return value


SCALARS: dict[str, Complete] = {"Int": _int, "Float": _float, "Boolean": _boolean}
"""The completers of scalars; all others are strings."""
