"""An emulator of the Clean Rooms ML API: real HTTP, real signatures, invented data.

who calls         callers, sessions, policies, authorization, signature, verification
what is asked     model, routes, constraints, inputs, forms, questions
who signs in      people, issuer, issuer_keys, id_tokens, sts
what there is     worlds, origin, vocabulary, lifecycle, records, catalog, jobs, exports
what is answered  answers, operations, outputs, xml_answers, tokens, problems
what goes wrong   faults (the table), refusals, stalls, deliveries, odd_*
how it is ordered fault, dose, outbreaks, orders
how it is served  reception, upstream, calls, application, serving
how it is steered control, issuer_control, token_orders, manners, remote, command
"""

from typing import TYPE_CHECKING

from gateway.sandbox.callers import CALLERS, SandboxCaller
from gateway.sandbox.people import ROLE_ARNS

if TYPE_CHECKING:
    from gateway.sandbox.application import create_sandbox

__all__ = ["CALLERS", "ROLE_ARNS", "SandboxCaller", "create_sandbox"]


def __getattr__(name: str) -> object:
    """Load the server when it is first asked for: the callers alone cost no botocore."""
    if name == "create_sandbox":
        from gateway.sandbox.application import create_sandbox  # noqa: PLC0415 - the point of it

        return create_sandbox
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
