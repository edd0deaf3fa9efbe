"""Reading the settings from environment variables, and what each accepts, in words.

They are read once, at start.
"""

import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any

from pydantic import ValidationError

from gateway.settings import PREFIX, Settings, SettingsError, variable

_INJECTED = re.compile(
    r"GATEWAY_([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?"
    r"|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
"""Variables that Kubernetes injects into each pod for a Service named `gateway` or `gateway-…`.
It also injects `…_PORT`, which is recognized by its value."""

_INJECTED_PORT = re.compile(r"(tcp|udp|sctp)://.*")


def read_settings(**defaults: Any) -> Settings:
    """Read the settings from the environment, with `defaults` for those that it does not set.

    Raises SettingsError that names each variable that is unknown or invalid.
    """
    variables = _variables()
    names = [name for name, _ in variables]
    problems = _unknown(names)
    problems += [
        f"{name} is set twice, in upper and in lower case. Accepted: once."
        for name in sorted({name for name in names if names.count(name) > 1})
    ]
    given = {name for name, value in variables if value}
    unset = {name: value for name, value in defaults.items() if variable(name) not in given}
    try:
        settings = Settings(**unset)
    except ValidationError as error:
        problems += dict.fromkeys(map(_problem, error.errors()))
    if problems:
        raise SettingsError("\n".join(problems))
    return settings


@cache
def setting_schemas() -> Mapping[str, Mapping[str, Any]]:
    """Return the JSON Schema of each setting by its name, without the alternative `null`."""
    properties = Settings.model_json_schema()["properties"]
    return {
        name: {**each, **each["anyOf"][0]} if "anyOf" in each else each
        for name, each in properties.items()
    }


def accepted_values(schema: Mapping[str, Any]) -> str:
    """Describe in words what a schema accepts."""
    if "accepted" in schema:
        return str(schema["accepted"])
    if "enum" in schema:
        *others, last = (f"`{value}`" for value in schema["enum"])
        return f"{', '.join(others)} or {last}"
    kind = schema["type"]
    if kind == "array":
        return f"comma-separated, each: {accepted_values(schema['items'])}"
    if kind in {"integer", "number"}:
        return f"{kind} {_bounds(schema)}"
    return {"boolean": "`true` or `false`", "string": "path of a file"}[kind]


def _bounds(schema: Mapping[str, Any]) -> str:
    if "exclusiveMinimum" in schema:
        return f"above {schema['exclusiveMinimum']}, up to {schema['maximum']}"
    least, most = schema["minimum"], schema.get("maximum")
    return f"from {least} to {most}" if most is not None else f"of at least {least}"


def _variables() -> list[tuple[str, str]]:
    """Return names, in upper case, and values of the variables with the prefix."""
    return [
        (name.upper(), value)
        for name, value in os.environ.items()  # noqa: TID251  the one place that reads it
        if name.upper().startswith(PREFIX)
        and not _INJECTED.fullmatch(name.upper())
        and not (name.upper().endswith("_PORT") and _INJECTED_PORT.fullmatch(value))
    ]


def _unknown(names: list[str]) -> list[str]:
    known = {name.upper() for name in Settings.model_fields}
    problems = []
    for name in sorted({name.removeprefix(PREFIX) for name in names} - known):
        similar = get_close_matches(name, known, n=1)
        accepted = f"Accepted: {', '.join(map(variable, Settings.model_fields))}."
        hint = f"Did you mean {PREFIX}{similar[0]}?" if similar else accepted
        problems.append(f"{PREFIX}{name}: unknown setting. {hint}")
    return problems


def _problem(error: Mapping[str, Any]) -> str:
    if not error["loc"]:
        return f"{error['msg'].removeprefix('Value error, ')}."
    name, *item = error["loc"]
    value = f"`{error['input']}`" if item else "the value"
    accepted = accepted_values(setting_schemas()[name])
    description = Settings.model_fields[name].description
    return f"{variable(name)}: {value} is invalid. Accepted: {accepted}. {description}"
