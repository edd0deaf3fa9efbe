"""A refusal, as AWS words it."""

from collections.abc import Mapping
from http import HTTPStatus


class RefusalError(Exception):
    """An error answer: an AWS error name, its HTTP status and a message."""

    def __init__(
        self, status: int, name: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(f"{status} {name}: {message}")
        self.status = status
        self.name = name
        self.message = message
        self.headers = headers or {}


def invalid(message: str) -> RefusalError:
    """Refuse an input."""
    return RefusalError(HTTPStatus.BAD_REQUEST, "ValidationException", message)


def forbidden(name: str, message: str) -> RefusalError:
    """Refuse a caller."""
    return RefusalError(HTTPStatus.FORBIDDEN, name, message)


def expired_token() -> RefusalError:
    """Word the refusal as AWS does for temporary credentials past their end."""
    message = "The security token included in the request is expired"
    return forbidden("ExpiredTokenException", message)


def not_authorized(action: str) -> RefusalError:
    """Refuse somebody who is nobody yet, since the call is unsigned."""
    return forbidden("AccessDeniedException", f"Not authorized to perform {action}")


def not_found(arn: str) -> RefusalError:
    """Say that an object is unknown here, in the same words whether or not others have it."""
    message = f"Resource not found: {arn}"
    return RefusalError(HTTPStatus.NOT_FOUND, "ResourceNotFoundException", message)


def unknown_operation() -> RefusalError:
    """Refuse a method and path that no operation answers."""
    message = "The requested operation is not known, or not one the sandbox emulates."
    return RefusalError(HTTPStatus.NOT_FOUND, "UnknownOperationException", message)
