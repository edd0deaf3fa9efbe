"""Answers of the query protocol: XML, as STS writes it."""

import re
from collections.abc import Mapping
from html import escape
from http import HTTPStatus

from gateway.sandbox.problems import RefusalError
from gateway.sandbox.questions import Answer

MEDIA_TYPE = "text/xml"

_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"
_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

# What REST-JSON calls an error, and what STS calls it.
_STS_ERRORS = {
    "ValidationException": (HTTPStatus.BAD_REQUEST, "ValidationError"),
    "ThrottlingException": (HTTPStatus.BAD_REQUEST, "Throttling"),
    "AccessDeniedException": (HTTPStatus.FORBIDDEN, "AccessDenied"),
    "InternalServerException": (HTTPStatus.INTERNAL_SERVER_ERROR, "InternalFailure"),
    "ServiceUnavailableException": (HTTPStatus.SERVICE_UNAVAILABLE, "ServiceUnavailable"),
}

Content = Mapping[str, "Content"] | str | int


def xml_answer(operation: str, result: Content, request_id: str) -> Answer:
    """Give the result of an operation."""
    content: dict[str, Content] = {
        f"{operation}Result": result,
        "ResponseMetadata": {"RequestId": request_id},
    }
    return Answer(_document(f"{operation}Response", content), media_type=MEDIA_TYPE)


def xml_refusal(refusal: RefusalError, request_id: str) -> Answer:
    """Word a refusal as STS does."""
    status, code = _STS_ERRORS.get(refusal.name, (refusal.status, refusal.name))
    at_fault = "Sender" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "Receiver"
    error = {"Type": at_fault, "Code": code, "Message": refusal.message}
    body = _document("ErrorResponse", {"Error": error, "RequestId": request_id})
    return Answer(body, status, refusal.headers, MEDIA_TYPE)


def _document(name: str, content: Mapping[str, Content]) -> bytes:
    return f'<{name} xmlns="{_NAMESPACE}">{_inside(content)}</{name}>\n'.encode()


def _inside(content: Content) -> str:
    if isinstance(content, Mapping):
        return "".join(f"<{name}>{_inside(part)}</{name}>" for name, part in content.items())
    return escape(_NOT_XML.sub("\ufffd", str(content)), quote=False)
