"""The OIDC file: whose tokens are trusted, and which role their claims lead to."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from gateway.settings import SettingsError

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"]
"""What a signature may be made with: nothing symmetric, never `none`, nor what STS cannot read."""

LOOPBACK = re.compile(r"http://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?(/[^?#\s]*)?")
ROLE_ARN = re.compile(r"arn:aws[-a-z]*:iam::\d{12}:role/[\w+=,.@/-]{1,512}", re.ASCII)


def trusted_address(value: str) -> str:
    """Return an address whose answers can be believed; raises ValueError for any other."""
    if not re.fullmatch(r"https://[^/?#@\s]+(/[^?#\s]*)?", value) and not LOOPBACK.fullmatch(value):
        raise ValueError("not an https:// address (http:// is for this machine's own only)")
    return value


def _role_arn(value: str) -> str:
    if not ROLE_ARN.fullmatch(value):
        raise ValueError("not the ARN of an IAM role")
    return value


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Role(_Table):
    """A role, and the claims that lead to it."""

    match: Mapping[str, str]
    """Claim -> the value it equals, or that is among its values. All must hold; empty: anyone."""
    role_arn: Annotated[str, AfterValidator(_role_arn)]
    session_seconds: int = Field(3600, ge=900, le=43200, strict=True)
    read_only: bool = Field(default=True, strict=True)
    """Whether the session is cut down to what the gateway calls, by a session policy."""

    def matches(self, claims: Mapping[str, Any]) -> bool:
        """Say whether verified claims lead to this role."""
        return all(
            value == wanted or (isinstance(value, list) and wanted in value)
            for wanted, value in ((wanted, claims.get(name)) for name, wanted in self.match.items())
        )


class Issuer(_Table):
    """An issuer whose tokens are trusted, for the audiences that are ours."""

    issuer: Annotated[str, AfterValidator(trusted_address)]
    audiences: frozenset[Annotated[str, Field(min_length=1)]] = Field(min_length=1)
    algorithms: frozenset[Algorithm] = Field(frozenset({"RS256", "ES256"}), min_length=1)
    jwks_url: Annotated[str, AfterValidator(trusted_address)] | None = None
    role: tuple[Role, ...] = Field(min_length=1)

    def role_for(self, claims: Mapping[str, Any]) -> Role | None:
        """Return the first role that verified claims lead to."""
        return next((role for role in self.role if role.matches(claims)), None)


class _File(_Table):
    issuer: tuple[Issuer, ...] = Field(min_length=1)


def read_oidc_file(path: Path) -> Mapping[str, Issuer]:
    """Return the trusted issuers by name.

    Raises SettingsError that names each place in the file that is not as it must be.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        issuers = _File.model_validate(raw).issuer
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"GATEWAY_OIDC_FILE: {path} cannot be read: {error}.") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"GATEWAY_OIDC_FILE: {path} is not TOML: {error}.") from None
    except ValidationError as error:
        places = "\n".join(_in_words(problem) for problem in error.errors())
        raise SettingsError(f"GATEWAY_OIDC_FILE: {path} is not as it must be:\n{places}") from None
    by_name: dict[str, Issuer] = {}
    for each in issuers:
        if each.issuer in by_name:
            raise SettingsError(f"GATEWAY_OIDC_FILE: {path} has issuer {each.issuer} twice.")
        by_name[each.issuer] = each
    return by_name


def _in_words(problem: Mapping[str, Any]) -> str:
    place = ".".join(str(part) for part in problem["loc"])
    return f"  {place}: {problem['msg'].removeprefix('Value error, ')}"
