"""An emulator of the Clean Rooms ML API: real HTTP, real signatures, invented data.

who calls         callers, authorization, signature, verification
what is asked     model, routes, constraints, inputs, questions
what there is     worlds, origin, vocabulary, lifecycle, records, catalog, jobs, exports
what is answered  answers, operations, outputs, tokens, problems
what goes wrong   faults (the table), refusals, stalls, odd_*, dose, outbreaks, orders
how it is served  upstream, control, calls, application, serving, remote, command
"""

from typing import TYPE_CHECKING

from gateway.sandbox.callers import CALLERS, SandboxCaller

if TYPE_CHECKING:
    from gateway.sandbox.application import create_sandbox

__all__ = ["CALLERS", "SandboxCaller", "create_sandbox"]


def __getattr__(name: str) -> object:
    """Load the server when it is first asked for: the callers alone cost no botocore."""
    if name == "create_sandbox":
        from gateway.sandbox.application import create_sandbox  # noqa: PLC0415 - the point of it

        return create_sandbox
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
