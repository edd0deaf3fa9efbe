"""A real gateway that is treated badly, and what must be true of it whatever is done to it."""

import json
from dataclasses import dataclass
from typing import Any

from gateway.sandbox import CALLERS
from tests.gateways import Answer, Gateway, Sandbox
from tests.hostile.process import Program
from tests.redis_servers import until

ADA = CALLERS["ada"]
PRIVATE = (
    ADA.access_key_id,
    ADA.secret_access_key,
    str(ADA.session_token),
    ADA.account_id,
    "arn:aws",
)
JOBS = "{ audienceGenerationJobs(first: 2) { nodes { name status } } }"
NOTHING = {"audienceGenerationJobs": None}
WIRE_ATTEMPTS = 3


@dataclass(frozen=True)
class Target:
    """A gateway process and the sandbox below it."""

    program: Program
    sandbox: Sandbox

    @property
    def gateway(self) -> Gateway:
        """The gateway as something to ask."""
        return Gateway(self.program.url, self.sandbox)

    def struck(self, fault: str, query: str = JOBS, **settings: Any) -> Answer:
        """Ask once while a fault is on."""
        self.sandbox.fault(fault, **settings)
        return self.gateway.ask(query)

    def recover(self) -> None:
        """Heal the sandbox, and wait until a plain question is answered again."""
        self.sandbox.reset()
        until(lambda: self.gateway.ask(JOBS).errors == [])


def private_in(answer: Answer) -> list[str]:
    """List what an answer tells, beside its data, that it must not."""
    told = json.dumps(answer.errors) + str(answer.headers)
    return [word for word in PRIVATE if word in told]
