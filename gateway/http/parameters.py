"""The parameters of a GraphQL request, from a JSON body or a query string.

Source: GraphQL over HTTP, "Request".
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import orjson

from gateway.graph.execution.engine import GraphRequest
from gateway.http.responses import HttpError, bad_request

PARAMETERS = frozenset({"query", "operationName", "variables", "extensions"})

MAX_FIELDS = 100


def from_body(body: bytes) -> GraphRequest:
    """Read a JSON body; raises HttpError 400 that names what is wrong with it."""
    try:
        raw = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise bad_request("The body is not JSON.") from None
    if not isinstance(raw, dict):
        raise bad_request("The body is not a JSON object. Batches are not served.")
    return _checked(raw)


def from_query_string(query_string: bytes) -> GraphRequest:
    """Read a URL's query string; raises HttpError 400 that names what is wrong with it."""
    if query_string.count(b"&") >= MAX_FIELDS:
        raise bad_request(f"The query string has more than {MAX_FIELDS} parameters.")
    try:
        pairs = parse_qsl(query_string.decode("ascii"), errors="strict")
    except (UnicodeDecodeError, ValueError):
        raise bad_request("The query string is not percent-encoded UTF-8.") from None
    raw: dict[str, Any] = {}
    for name, value in pairs:
        if name in PARAMETERS:
            if name in raw:
                raise bad_request(f"The query string has `{name}` twice.")
            raw[name] = value
    for name in ("variables", "extensions"):
        if name in raw:
            raw[name] = _json_text(raw[name], name)
    return _checked(raw)


def _json_text(text: str, name: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        raise bad_request(f"`{name}` is not JSON.") from None


def _checked(raw: Mapping[str, Any]) -> GraphRequest:
    query, operation_name = raw.get("query"), raw.get("operationName")
    variables, extensions = raw.get("variables"), raw.get("extensions")
    if not isinstance(query, str) or not query:
        raise _wrong("query", "a GraphQL document as text")
    if operation_name is not None and not isinstance(operation_name, str):
        raise _wrong("operationName", "a text, or null")
    if variables is not None and not isinstance(variables, dict):
        raise _wrong("variables", "an object, or null")
    if extensions is not None and not isinstance(extensions, dict):
        raise _wrong("extensions", "an object, or null")
    return GraphRequest(query, operation_name, variables or {})


def _wrong(name: str, accepted: str) -> HttpError:
    return bad_request(f"`{name}` is missing or of another kind. Accepted: {accepted}.")
