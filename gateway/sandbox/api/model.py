"""Validation of inputs, and shaping of outputs, by botocore's service models."""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from botocore.loaders import Loader
from botocore.model import (
    ListShape,
    MapShape,
    OperationModel,
    ServiceModel,
    Shape,
    StringShape,
    StructureShape,
)

Inputs = dict[str, str | int]
# Any: JSON values, whose types only the shape knows.
Shaper = Callable[[Any], Any]

SERVICE = "cleanroomsml"
STS = "sts"
ASSUME_ROLE = "AssumeRoleWithWebIdentity"

_MILLISECONDS = 1000
_INTEGER = re.compile(r"-?[0-9]{1,18}")
_MAX_SHOWN_CHARACTERS = 200
# The models spell characters beyond the BMP as UTF-16 surrogates, which Python strings do not have.
_SURROGATES = r"\uD800\uDBFF-\uDC00\uDFFF"
_BEYOND_BMP = r"\U00010000-\U0010FFFF"


class ApiError(Exception):
    """An AWS error response."""

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers or {}


def validation_error(message: str) -> ApiError:
    return ApiError(HTTPStatus.BAD_REQUEST, "ValidationException", message)


def forbidden(code: str, message: str) -> ApiError:
    return ApiError(HTTPStatus.FORBIDDEN, code, message)


def access_denied(caller_arn: str, operation: str) -> ApiError:
    message = f"User: {caller_arn} is not authorized to perform: cleanrooms-ml:{operation}"
    return forbidden("AccessDeniedException", message)


def not_authorized(action: str) -> ApiError:
    """Return the error for an unsigned call, which has no user to name."""
    return forbidden("AccessDeniedException", f"Not authorized to perform {action}")


def credentials_expired() -> ApiError:
    message = "The security token included in the request is expired"
    return forbidden("ExpiredTokenException", message)


@cache
def service_model(service: str = SERVICE) -> ServiceModel:
    """Load the model that comes with botocore, never one from `~/.aws/models`."""
    loader = Loader(
        extra_search_paths=[Loader.BUILTIN_DATA_PATH], include_default_search_paths=False
    )
    return ServiceModel(loader.load_service_model(service, "service-2"), service_name=service)


@cache
def operation_model(operation: str) -> OperationModel:
    service = STS if operation == ASSUME_ROLE else SERVICE
    return service_model(service).operation_model(operation)


def input_shape(operation: str) -> StructureShape:
    shape = operation_model(operation).input_shape
    if shape is None:
        raise LookupError(f"{operation} has no input")
    return shape


def read_inputs(operation: str, path: Mapping[str, str], query: str) -> Inputs:
    """Read and validate the inputs in the path and the query of a REST request.

    Unknown query parameters are ignored, as in AWS.

    Raises ApiError if an input is invalid, missing or repeated.
    """
    shapes = input_shape(operation).members
    members = {
        shape.serialization["name"]: name
        for name, shape in shapes.items()
        if shape.serialization.get("location") == "querystring"
    }
    values = dict(path)
    for key, value in parse_qsl(query, keep_blank_values=True):
        name = members.get(key)
        if name is None:
            continue
        if name in values:
            message = f"1 validation error detected: Member '{name}' was sent more than once"
            raise validation_error(message)
        values[name] = value
    return validate_inputs(operation, values, shapes)


def validate_inputs(
    operation: str,
    values: Mapping[str, str],
    shapes: Mapping[str, Shape],
    spelling: Callable[[str], str] = str,
) -> Inputs:
    """Return the values that have a shape; `spelling` changes the names in error messages."""
    inputs: Inputs = {}
    errors: list[str] = []
    for name, shape in shapes.items():
        if name in values:
            inputs[name] = value = _parse(values[name], shape)
            # A sensitive value is not repeated, even if invalid.
            sensitive = shape.metadata.get("sensitive")
            shown = "***" if sensitive else values[name][:_MAX_SHOWN_CHARACTERS]
            errors += [
                _violation(f"'{shown}'", spelling(name), reason)
                for reason in _violations(value, shape)
            ]
    errors += [
        _violation("null", spelling(name), "Member must not be null")
        for name in input_shape(operation).required_members
        if name not in values
    ]
    if errors:
        noun = "error" if len(errors) == 1 else "errors"
        raise validation_error(f"{len(errors)} validation {noun} detected: {'; '.join(errors)}")
    return inputs


def _violation(value: str, name: str, reason: str) -> str:
    return f"Value {value} at '{name}' failed to satisfy constraint: {reason}"


def _parse(text: str, shape: Shape) -> str | int:
    return int(text) if shape.type_name == "integer" and _INTEGER.fullmatch(text) else text


def _violations(value: str | int, shape: Shape) -> Iterator[str]:
    """Yield AWS's description of each constraint that the value violates."""
    if isinstance(value, int):
        yield from _bounds(value, shape, "value")
    elif shape.type_name == "integer":
        yield "Member must be an integer"
    else:
        yield from _bounds(len(value), shape, "length")
        pattern = shape.metadata.get("pattern")
        if pattern is not None and not compile_pattern(pattern).fullmatch(value):
            yield f"Member must satisfy regular expression pattern: {pattern}"
        if isinstance(shape, StringShape) and shape.enum and value not in shape.enum:
            yield f"Member must satisfy enum value set: [{', '.join(shape.enum)}]"


def _bounds(size: int, shape: Shape, noun: str) -> Iterator[str]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is not None and size < low:
        yield f"Member must have {noun} greater than or equal to {low}"
    if high is not None and size > high:
        yield f"Member must have {noun} less than or equal to {high}"


@cache
def compile_pattern(pattern: str) -> re.Pattern[str]:
    r"""Compile a pattern of the model, whose `\d` and `\w` match ASCII only, as in Java."""
    return re.compile(pattern.replace(_SURROGATES, _BEYOND_BMP), re.ASCII)


def unix_ms(time: datetime) -> int:
    return round(time.timestamp() * _MILLISECONDS)


@cache
def output_shaper(operation: str, list_member: str | None = None) -> Shaper:
    """Return a function that limits a response, or a row of it, to the members of its shape."""
    # Any: each of these operations has an output, and the member is a list.
    shape: Any = operation_model(operation).output_shape
    return _shaper(shape.members[list_member].member if list_member else shape)


def _shaper(shape: Shape) -> Shaper:
    if isinstance(shape, StructureShape):
        return _structure_shaper(shape)
    if isinstance(shape, ListShape):
        shape_item = _shaper(shape.member)
        return lambda values: [shape_item(value) for value in values]
    if isinstance(shape, MapShape):
        shape_value = _shaper(shape.value)
        return lambda values: {key: shape_value(value) for key, value in values.items()}
    if shape.type_name == "timestamp":
        # REST-JSON sends Unix seconds unless the shape names another format.
        return _iso8601 if shape.serialization.get("timestampFormat") == "iso8601" else _seconds
    return lambda value: value


def _structure_shaper(shape: StructureShape) -> Shaper:
    members = [
        (name, member.serialization.get("name", name), _shaper(member))
        for name, member in shape.members.items()
    ]
    required = frozenset(shape.required_members)

    def shape_structure(value: dict[str, Any]) -> dict[str, Any]:
        if not required <= value.keys():
            raise KeyError(f"{shape.name} lacks {sorted(required - value.keys())}")
        return {
            sent_name: shape_member(value[name])
            for name, sent_name, shape_member in members
            if name in value
        }

    return shape_structure


def _seconds(milliseconds: int) -> float:
    return milliseconds / _MILLISECONDS


def _iso8601(milliseconds: int) -> str:
    moment = datetime.fromtimestamp(milliseconds / _MILLISECONDS, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
