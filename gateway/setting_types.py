"""The types of settings' values: their accepted form, and its description for messages and docs."""

import re
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

_PORT = "(?:6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3})"

_IPV6 = r"\[[0-9a-f:]+\]"


@dataclass(frozen=True, slots=True)
class Text:
    """The accepted form of a string: a regular expression for all of it, and a description."""

    pattern: str
    accepted: str

    def validate(self, value: str) -> str:
        if not re.fullmatch(self.pattern, value):
            raise ValueError(self.accepted)
        return value

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.validate, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(schema), "pattern": self.pattern, "accepted": self.accepted}


class Url(Text):
    """The accepted form of a URL, which urllib can read."""

    def validate(self, value: str) -> str:
        try:
            urlsplit(super().validate(value))
        except ValueError:  # such as brackets around what is no address
            raise ValueError(self.accepted) from None
        return value


CACHE_URL = Url(
    rf"memory://|rediss?://(?:[^\s/?#@]*@)?(?:{_IPV6}|[^\s/?#@:]+)(?::0*{_PORT})?(?:/[0-9]{{0,5}})?",
    "`memory://`, or `redis://host:port/db` or `rediss://host:port/db`, optionally with "
    "percent-encoded `user:password@` before the host",
)


def lower_case(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def split_commas(value: Any) -> Any:
    """Return the items of a comma-separated text; raises ValueError if it has none."""
    if not isinstance(value, str):
        return value
    if not (items := [part.strip() for part in value.split(",") if part.strip()]):
        raise ValueError
    return items


def _without_default_port(origin: str) -> str:
    if re.fullmatch(r"http://.*:80|https://.*:443", origin):
        raise ValueError
    return origin


_PARTITIONS = "us|eu|ap|sa|ca|me|af|il|mx|cn|us-gov|us-isob?|us-isof|eu-isoe|eusc-[a-z]{2}"
"""The beginnings of the regions of all AWS partitions, as botocore's partitions.json has them."""

Region = Annotated[
    str, Text(rf"(?:{_PARTITIONS})-[a-z]+-[0-9]{{1,2}}", "AWS region, such as `us-east-1`")
]
RegionalUrl = Annotated[
    str,
    Url(
        rf"https?://(?:{_IPV6}|(?:\{{region\}}|[^/?#@:\s{{}}])+)(?::0*{_PORT})?/?",
        "URL without a path, such as `https://host` or `http://host:port`; `{region}` in it stands "
        "for the region",
    ),
    AfterValidator(lambda url: url.rstrip("/")),
]
PathPrefix = Annotated[
    str,
    Text(
        r"(?:/[A-Za-z0-9._~-]*[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+/?",  # no lookahead in Helm
        "path such as `/api/audience`, of letters, digits, `-`, `.`, `_` and `~`",
    ),
    AfterValidator(lambda path: path.rstrip("/")),
]
Origin = Annotated[
    str,
    Url(
        rf"https?://(?:{_IPV6}|[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)(?::{_PORT})?",
        "origin as browsers send it, such as `https://app.example.com` or `http://localhost:3000`: "
        "lower case, no wildcard, no default port, no path or trailing slash",
    ),
    AfterValidator(_without_default_port),
]
Limit = Annotated[int, Field(json_schema_extra={"exceeded": "400 `LIMIT_EXCEEDED`"})]
"""`exceeded` is the response to a request beyond the limit."""
