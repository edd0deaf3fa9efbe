"""What a caller claims in the Authorization header, before any of it is believed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.sandbox.problems import forbidden

_HEADER = re.compile(
    r"AWS4-HMAC-SHA256\s+"
    r"Credential=(?P<access_key_id>\w+)/(?P<date>\d{8})/(?P<region>[^/,\s]+)"
    r"/(?P<service>[^/,\s]+)/aws4_request\s*,\s*"
    r"SignedHeaders=(?P<signed_headers>[!-+\--~]+)\s*,\s*"
    r"Signature=(?P<signature>[0-9a-f]{64})",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Authorization:
    """The parts of a Signature Version 4 header."""

    access_key_id: str
    date: str
    region: str
    service: str
    signed_headers: frozenset[str]
    signature: str


def read_authorization(headers: Mapping[str, str]) -> Authorization:
    """Take the header apart; what is not a signature at all is refused here."""
    text = headers.get("authorization")
    if text is None:
        raise forbidden("MissingAuthenticationTokenException", "Missing Authentication Token")
    found = _HEADER.fullmatch(text.strip())
    if found is None:
        message = "The Authorization header is not a complete AWS4-HMAC-SHA256 signature."
        raise forbidden("IncompleteSignatureException", message)
    return Authorization(
        access_key_id=found["access_key_id"],
        date=found["date"],
        region=found["region"],
        service=found["service"],
        signed_headers=frozenset(found["signed_headers"].split(";")),
        signature=found["signature"],
    )
