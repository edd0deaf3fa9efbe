"""The file of the `oidc` scheme: the trusted issuers, and the roles that claims map to."""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from gateway.auth.jwks import issuer_url, trusted_url
from gateway.setting_files import read_setting_file
from gateway.settings import SettingsError

OIDC_FILE_SETTING = "GATEWAY_OIDC_FILE"

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"]
"""The asymmetric algorithms that STS supports."""

SCOPES = frozenset({"scope", "scp"})
"""Claims whose string is a list of words. Sources: RFC 9068, section 2.2.3; Entra ID's `scp`."""

CLAIM_PROBLEM = "claim_problem"
"""The type of the validation errors of `match`, whose messages need no translation."""


class _Table(BaseModel):
    """A table of the file. The description of each key is what it accepts."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _check_match(match: Any) -> Any:
    for name, wanted in match.items() if isinstance(match, dict) else ():
        problem = _claim_problem(name, wanted)
        if problem:
            raise PydanticCustomError(CLAIM_PROBLEM, "{problem}", {"problem": problem})
    return match


def _claim_problem(name: str, wanted: Any) -> str | None:
    if not name:
        return "a claim has no name"
    if isinstance(wanted, dict):
        return f"`{name}` is a table, as it is without quotes around a path"
    if not isinstance(wanted, str | bool):
        return f"`{name}` is neither a string nor a boolean"
    if name in SCOPES and (not isinstance(wanted, str) or not wanted or " " in wanted):
        return f"`{name}` is not one word of a scope"
    return None


class Role(_Table):
    """An IAM role and the claims that map to it."""

    match: Annotated[Mapping[str, Any], BeforeValidator(_check_match)] = Field(
        description="table of claims, such as `{ groups = "
        '"analysts", "realm_access.roles" = "analyst", email_verified = true }`',
    )
    """Name of a claim, or path to it -> the string or boolean that it equals or contains. All must
    match; empty matches any token."""
    role_arn: str = Field(
        pattern=r"^arn:aws[-a-z]*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]{1,512}$",
        description="ARN of an IAM role, such as `arn:aws:iam::111122223333:role/analysts`",
    )
    session_seconds: int = Field(
        3600, ge=900, le=43200, strict=True, description="integer from 900 to 43200"
    )
    read_only: bool = Field(default=True, strict=True, description="`true` or `false`")
    """Whether a session policy restricts the session to what the gateway calls."""

    def matches(self, claims: Mapping[str, Any]) -> bool:
        return all(
            # `True` equals 1, and a claim may be either.
            any(type(value) is type(wanted) and value == wanted for value in _values(claims, name))
            for name, wanted in self.match.items()
        )


def _values(claims: Mapping[str, Any], name: str) -> list[Any]:
    """Return what a claim contains: the items of a list, the words of a scope, or itself."""
    value = _find_claim(claims, name)
    if name in SCOPES and isinstance(value, str):
        return value.split(" ")
    return value if isinstance(value, list) else [value]


def _find_claim(claims: Any, path: str) -> Any:
    """Return the claim at a path, None if there is none.

    Names may contain dots, as a URL does: at each level the longest that exists is meant.
    """
    if not isinstance(claims, Mapping):
        return None
    parts = path.split(".")
    for end in range(len(parts), 0, -1):
        name, below = ".".join(parts[:end]), parts[end:]
        if name in claims:
            return _find_claim(claims[name], ".".join(below)) if below else claims[name]
    return None


class Issuer(_Table):
    """A trusted issuer, with the audiences that its tokens must be for."""

    issuer: Annotated[str, AfterValidator(issuer_url)] = Field(
        description="https:// URL without a query, exactly as the tokens' `iss` "
        "(http:// for loopback hosts only)"
    )
    audiences: frozenset[Annotated[str, Field(min_length=1)]] = Field(
        min_length=1, description='list of strings, such as `["audience-gateway"]`'
    )
    algorithms: frozenset[Algorithm] = Field(
        frozenset({"RS256", "ES256"}),
        min_length=1,
        description=f"list of {', '.join(get_args(Algorithm))}",
    )
    jwks_url: Annotated[str, AfterValidator(trusted_url)] | None = Field(
        None, description="https:// URL of a JWK set (http:// for loopback hosts only)"
    )
    role: tuple[Role, ...] = Field(min_length=1, description="[[issuer.role]] tables")

    def role_for(self, claims: Mapping[str, Any]) -> Role | None:
        """Return the first role that verified claims match."""
        return next((role for role in self.role if role.matches(claims)), None)


class _File(_Table):
    issuer: tuple[Issuer, ...] = Field(min_length=1, description="[[issuer]] tables")


def read_oidc_file(path: Path) -> Mapping[str, Issuer]:
    """Return the trusted issuers by name.

    Raises SettingsError; its message has a line for each invalid place in the file.
    """
    try:
        content = tomllib.loads(read_setting_file(path).decode())
        issuers = _File.model_validate(content).issuer
    except OSError as error:
        problems = [f"cannot be read: {error.strerror}."]
    except UnicodeDecodeError:
        problems = ["cannot be read: it is not UTF-8 text."]
    except ValidationError as error:
        problems = list(dict.fromkeys(_translate(error.errors())))
    except (ValueError, RecursionError) as error:
        problems = [f"not valid TOML: {error}."]
    else:
        names = [each.issuer for each in issuers]
        problems = [
            f"[[issuer]] {number}, issuer: {name} again. Accepted: each issuer once."
            for number, name in enumerate(names, 1)
            if name in names[: number - 1]
        ]
    if problems:
        raise SettingsError("\n".join(f"{OIDC_FILE_SETTING}: {path}: {each}" for each in problems))
    return {each.issuer: each for each in issuers}


_TABLES: Mapping[str, tuple[str, type[_Table]]] = {
    "issuer": ("[[issuer]]", Issuer),
    "role": ("[[issuer.role]]", Role),
}


class _Place(NamedTuple):
    tables: tuple[tuple[str, int], ...]
    """Key and index of each table, from the outside."""
    key: str | None
    """The key in the innermost table; None for the table itself."""

    @property
    def keys(self) -> Mapping[str, str | None]:
        """The keys of the table, and what they accept."""
        model = _TABLES[self.tables[-1][0]][1] if self.tables else _File
        return {name: each.description for name, each in model.model_fields.items()}

    def __str__(self) -> str:
        parts = [f"{_TABLES[key][0]} {index + 1}" for key, index in self.tables]
        return ", ".join([*parts, self.key] if self.key else parts)


def _place(location: tuple[int | str, ...]) -> _Place:
    tables = []
    while len(location) > 1 and location[0] in _TABLES:
        tables.append((str(location[0]), int(location[1])))
        location = location[2:]
    return _Place(tuple(tables), str(location[0]) if location else None)


def _translate(errors: Sequence[ErrorDetails]) -> Iterator[str]:
    """Yield what is wrong in words of the file: the validator's own are about Python."""
    locations = {each["loc"] for each in errors}
    # A list with an invalid item also counts as too short.
    enclosing = {each[:end] for each in locations for end in range(len(each))}
    located = [(_place(each["loc"]), each) for each in errors if each["loc"] not in enclosing]
    meant = {
        place: match[0]
        for place, error in located
        if error["type"] == "extra_forbidden"
        and (match := get_close_matches(str(place.key), place.keys, n=1))
    }
    misspelled = {place._replace(key=name) for place, name in meant.items()}
    for place, error in located:
        accepted = place.keys.get(str(place.key))
        if error["type"] == "missing":
            if place in misspelled:
                continue
            what = "missing."
        elif error["type"] == "extra_forbidden":
            name = meant.get(place)
            what = f"unknown key. Did you mean {name}?" if name else "unknown key."
            accepted = place.keys[name] if name else ", ".join(place.keys)
        elif error["type"] == CLAIM_PROBLEM:
            what = f"{error['msg']}."
        elif isinstance(error["input"], dict | list) or _has_password(error["input"]):
            what = "invalid."
        else:
            what = f"`{json.dumps(error['input'], ensure_ascii=False, default=str)}` is invalid."
        yield f"{place}: {what} Accepted: {accepted or ', '.join(place.keys)}."


def _has_password(value: object) -> bool:
    return isinstance(value, str) and re.search(r"://[^/?#]*@", value) is not None
