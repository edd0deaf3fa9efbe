"""An emulator of the Clean Rooms ML API, with an OIDC issuer and STS, on generated data.

Independent of the rest of the gateway.
"""

from typing import TYPE_CHECKING

from gateway.sandbox.data.accounts import (
    CALLERS,
    COLLABORATION_ID,
    ROLE_ARNS,
    SandboxCaller,
)

if TYPE_CHECKING:
    from gateway.sandbox.app import create_sandbox

__all__ = ["CALLERS", "COLLABORATION_ID", "ROLE_ARNS", "SandboxCaller", "create_sandbox"]


def __getattr__(name: str) -> object:
    # Importing the callers alone does not load botocore and Starlette.
    if name == "create_sandbox":
        from gateway.sandbox.app import create_sandbox  # noqa: PLC0415

        return create_sandbox
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
