"""The input of an STS call, read from its form as the query protocol says."""

from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import parse_qsl

from botocore.model import ListShape, Shape, StructureShape

from gateway.sandbox.inputs import Inputs, checked_inputs
from gateway.sandbox.model import ASSUME_ROLE, STS, input_shape, service_model
from gateway.sandbox.problems import RefusalError
from gateway.sandbox.signature import ReceivedRequest

_MEDIA_TYPE = "application/x-www-form-urlencoded"
_PROTOCOL = frozenset({"Action", "Version"})


def read_form(received: ReceivedRequest) -> dict[str, str]:
    """Give the fields of the body; a body that is no form has none."""
    media_type = (received.header("content-type") or "").partition(";")[0]
    if media_type.strip().lower() != _MEDIA_TYPE:
        return {}
    text = received.body.decode("utf-8", "replace")
    return dict(parse_qsl(text, keep_blank_values=True))


def shown_fields(fields: Mapping[str, str | int]) -> dict[str, object]:
    """Give the fields that the log of calls may show: what was asked for, not the token."""
    secret = {"webidentitytoken", *map(str.lower, _PROTOCOL)}
    return {name: value for name, value in fields.items() if name.lower() not in secret}


def read_assume_role(form: Mapping[str, str]) -> Inputs:
    """Give the members of the one call that the sandbox's STS answers, checked."""
    _check_action(form)
    # Members of lists are fields of their own, such as `PolicyArns.member.1.arn`.
    found = {name: _shape(input_shape(ASSUME_ROLE), name.split(".")) for name in form}
    shapes = {name: shape for name, shape in found.items() if shape is not None}
    return checked_inputs(ASSUME_ROLE, form, shapes, _camel_case)


def _check_action(form: Mapping[str, str]) -> None:
    if "Action" not in form:
        raise RefusalError(HTTPStatus.BAD_REQUEST, "MissingAction", "The request names no Action.")
    action, version = form["Action"], form.get("Version")
    if action != ASSUME_ROLE or version != service_model(STS).api_version:
        message = f"Could not find operation {action} for version {version or 'NO_VERSION'}"
        raise RefusalError(HTTPStatus.BAD_REQUEST, "InvalidAction", message)


def _shape(shape: Shape | None, path: list[str]) -> Shape | None:
    """Follow a field's name into the model; a name that leads nowhere is ignored, as in AWS."""
    if not path:
        return None if isinstance(shape, StructureShape | ListShape) else shape
    step, *others = path
    if isinstance(shape, StructureShape):
        return _shape(shape.members.get(step), others)
    if isinstance(shape, ListShape) and step == "member" and others and others[0].isdecimal():
        return _shape(shape.member, others[1:])
    return None


def _camel_case(name: str) -> str:
    return ".".join(part[:1].lower() + part[1:] for part in name.split("."))
