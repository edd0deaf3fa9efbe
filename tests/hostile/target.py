"""The gateway under test, and what must hold whatever happens to it."""

import json
from dataclasses import dataclass
from typing import Any

from gateway.sandbox import CALLERS
from tests.gateways import Answer, Gateway
from tests.processes import until

ADA = CALLERS["ada"]
PRIVATE = (
    ADA.access_key_id,
    ADA.secret_access_key,
    str(ADA.session_token),
    ADA.account_id,
    "arn:aws",
)
JOBS = "{ audienceGenerationJobs(first: 2) { nodes { name status } } }"
NO_JOBS = {"audienceGenerationJobs": None}
MAX_ATTEMPTS = 3
"""Upstream calls for one request that fails."""


@dataclass(frozen=True)
class Target(Gateway):
    def ask_with_fault(self, fault: str, query: str = JOBS, **parameters: Any) -> Answer:
        self.sandbox.fault(fault, **parameters)
        return self.ask(query)

    def recover(self) -> None:
        """Clear the faults, and wait until a request succeeds."""
        self.sandbox.reset()
        until(lambda: self.ask(JOBS).errors == [])


def private_in(answer: Answer) -> list[str]:
    """List the private values that the errors or headers of an answer hold."""
    text = json.dumps(answer.errors) + str(answer.headers)
    return [word for word in PRIVATE if word in text]
