"""Many callers, each with credentials of their own, of few accounts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gateway.dev import aws_headers
from gateway.sandbox import CALLERS, ROLE_ARNS
from gateway.sandbox.data.accounts import USERS
from tests.auth.issuers import sandbox_file
from tests.sandbox.identities import id_token

WITH_KEYS = ("ada", "grace", "edith", "ada_again", "expired", "denied")
EACH_WITH_TOKENS = 6
SUBJECTS = [f"{name}-{number}" for name in USERS for number in range(EACH_WITH_TOKENS)]


@dataclass(frozen=True)
class Asker:
    """Somebody who asks: what proves it, whose rows they may see, and what they have learnt."""

    name: str
    account_id: str
    headers: Mapping[str, str] = field(repr=False)
    cursors: list[str] = field(default_factory=list)

    @property
    def may_see(self) -> bool:
        """Whether AWS shows them anything."""
        return self.name not in {"expired", "denied"}

    @property
    def secrets(self) -> list[str]:
        """What proves who they are, and must be told to nobody."""
        proofs = (text for name, text in self.headers.items() if name != "X-Aws-Access-Key-Id")
        return [text.removeprefix("Bearer ") for text in proofs]


def person_of(subject: str) -> str:
    """Name the person in whose account this subject reads."""
    return subject.partition("-")[0]


def oidc_file(folder: Path, sandbox_url: str) -> Path:
    """Write the file that leads each subject to the role of its person."""
    return sandbox_file(
        folder, sandbox_url, {subject: ROLE_ARNS[person_of(subject)] for subject in SUBJECTS}
    )


def everybody(sandbox_url: str) -> list[Asker]:
    """Give all who ask; the sandbox makes the tokens."""
    with_keys = [
        Asker(name, CALLERS[name].account_id, aws_headers(CALLERS[name])) for name in WITH_KEYS
    ]
    with_tokens = [
        Asker(
            subject,
            USERS[person_of(subject)].account_id,
            {"Authorization": f"Bearer {id_token(sandbox_url, subject)}"},
        )
        for subject in SUBJECTS
    ]
    return with_keys + with_tokens
