"""The GraphQL parameters of a request, from its body or its query string.

Sources: GraphQL over HTTP, "Request" and the appendix "Persisted Documents"; Apollo's automatic
persisted queries.
"""

from codecs import BOM_UTF8
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import orjson

from gateway.errors import LimitExceededError, PersistedQueryNotSupportedError
from gateway.http.responses import ContentError, NoDocumentError, invalid_content
from gateway.telemetry.metrics import REJECTIONS

MAX_JSON_VALUES = 10_000
"""Values in the JSON of a request. Each may take thirty times its text in memory: 256 KiB of empty
lists take 6 MB. The limits on ids and tokens leave no use for so many."""

PARAMETERS = frozenset({"query", "documentId", "operationName", "variables", "extensions"})

MAX_QUERY_PARAMETERS = 100

HASH_PREFIX = "sha256:"
"""Optional in the id of a document."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """The well-formed parameters of a request, with a document, the id of one, or both."""

    query: str
    """Empty if there is only an id."""
    document_id: str | None
    """Without HASH_PREFIX. With a query, it should be the hash of that."""
    operation_name: str | None
    variables: dict[str, Any]
    has_fallback: bool = False
    """Whether the client sends the query if the id is unknown, as with `persistedQuery`."""


def parse_body(body: bytes) -> Parameters:
    """Parse a JSON body; raises ContentError 400 that names what is wrong with it."""
    try:
        # Source: RFC 8259 section 8.1. Editors and scripts on Windows write a byte order mark.
        parameters = _load_json(body.removeprefix(BOM_UTF8))
    except orjson.JSONDecodeError:
        raise invalid_content(_why_not_json(body)) from None
    if not isinstance(parameters, dict):
        raise invalid_content("The body is not a JSON object. Batches are not supported.")
    return _parameters(parameters)


def _why_not_json(body: bytes) -> str:
    try:
        body.decode()
    except UnicodeDecodeError:  # as is everything that begins with a mark of UTF-16 or UTF-32
        return "The body is not JSON in UTF-8. Accepted: UTF-8, with or without a byte order mark."
    return "The body is not JSON."


def parse_query_string(query_string: bytes) -> Parameters:
    """Parse a URL's query string; raises ContentError 400 that names what is wrong with it."""
    if query_string.count(b"&") >= MAX_QUERY_PARAMETERS:
        raise invalid_content(
            f"Too many query string parameters. Accepted: up to {MAX_QUERY_PARAMETERS}."
        )
    try:
        pairs = parse_qsl(query_string.decode("ascii"), errors="strict")
    except (UnicodeDecodeError, ValueError):
        raise invalid_content("The query string is not percent-encoded UTF-8.") from None
    parameters: dict[str, Any] = {}
    for name, value in pairs:
        if name in PARAMETERS:
            if name in parameters:
                raise invalid_content(f"Duplicate query string parameter `{name}`.")
            parameters[name] = value
    for name in ("variables", "extensions"):
        try:
            parameters[name] = _load_json(parameters.get(name, "null").encode())
        except orjson.JSONDecodeError:
            raise invalid_content(f"`{name}` is not JSON.") from None
    return _parameters(parameters)


def _load_json(text: bytes) -> Any:
    # Each value but the first of a list or an object follows a comma. Texts in strings count too.
    values = text.count(b",") + text.count(b"[") + text.count(b"{")
    if values > MAX_JSON_VALUES:
        REJECTIONS.labels("json_values").inc()
        message = f"The request has too many JSON values. Accepted: up to {MAX_JSON_VALUES}."
        raise ContentError(400, LimitExceededError(message))
    return orjson.loads(text)


def _parameters(parameters: Mapping[str, Any]) -> Parameters:
    query, operation_name = parameters.get("query"), parameters.get("operationName")
    variables, extensions = parameters.get("variables"), parameters.get("extensions")
    document_id = parameters.get("documentId")
    if query is not None and not isinstance(query, str):
        raise _invalid("query", "a GraphQL document as a string")
    if extensions is not None and not isinstance(extensions, dict):
        raise _invalid("extensions", "an object, or null")
    if document_id is not None:
        _check_document_id(document_id)
        if query:
            raise invalid_content(
                "`query` and `documentId` exclude each other. Accepted: one of them."
            )
    persisted_query = extensions.get("persistedQuery") if extensions else None
    if persisted_query is not None:
        document_id = _read_persisted_query(persisted_query, document_id)
    if not query and document_id is None:
        raise _invalid("query", "a GraphQL document as a string, or the id of one as `documentId`")
    if operation_name is not None and not isinstance(operation_name, str):
        raise _invalid("operationName", "a string, or null")
    if variables is not None and not isinstance(variables, dict):
        raise _invalid("variables", "an object, or null")
    if document_id is not None:
        document_id = document_id.removeprefix(HASH_PREFIX)
    return Parameters(
        query or "",
        document_id,
        operation_name,
        variables or {},
        has_fallback=persisted_query is not None,
    )


def _check_document_id(document_id: Any) -> None:
    if not isinstance(document_id, str) or not document_id:
        raise _invalid("documentId", "the id of a persisted document as a string")


def _read_persisted_query(persisted: Any, document_id: str | None) -> str:
    """Return the hash in the form of automatic persisted queries.

    Raises ContentError 400 for another form, and NoDocumentError for another version of it, after
    which clients send the query alone.
    """
    if (
        not isinstance(persisted, dict)
        or type(persisted.get("version")) is not int
        or not isinstance(sha256_hash := persisted.get("sha256Hash"), str)
    ):
        raise _invalid(
            "extensions.persistedQuery",
            "an object with `version` 1 and `sha256Hash`, the hash of the query as a string",
        )
    if persisted["version"] != 1:
        raise NoDocumentError(PersistedQueryNotSupportedError("PersistedQueryNotSupported"))
    if document_id is not None:
        raise invalid_content(
            "`documentId` and `extensions.persistedQuery` exclude each other. Accepted: one of "
            "them."
        )
    return sha256_hash


def _invalid(name: str, accepted: str) -> ContentError:
    return invalid_content(f"`{name}` is missing or invalid. Accepted: {accepted}.")
