"""Where invented data come from: every value follows from the seed and the place."""

from dataclasses import dataclass
from hashlib import sha256
from random import Random
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Origin:
    """An account in a region, and the moment at which its history was written."""

    seed: int
    account_id: str
    region: str
    epoch_ms: int

    def random(self, *parts: object) -> Random:
        """Give a source of chance that is the same each time for the same parts."""
        # Not for secrets: a repeatable world is the purpose.
        return Random(self._digest(*parts))  # noqa: S311 - see above

    def uuid(self, *parts: object) -> str:
        """Give an id that is the same each time for the same parts."""
        return str(UUID(bytes=self._digest(*parts)[:16], version=4))

    def number(self, below: int, *parts: object) -> int:
        """Give a number that is the same each time for the same parts."""
        return int.from_bytes(self._digest(*parts)[:8]) % below

    def arn(self, kind: str, name: str) -> str:
        """Give the ARN of an object of this place."""
        return f"arn:aws:cleanrooms-ml:{self.region}:{self.account_id}:{kind}/{name}"

    def role(self, name: str) -> str:
        """Give the ARN of a role of this account."""
        return f"arn:aws:iam::{self.account_id}:role/{name}"

    def collaboration(self, number: int) -> str:
        """Give the id of a collaboration; accounts and regions share them, as they do in AWS."""
        place = Origin(self.seed, "", "", 0)
        return place.uuid("collaboration", number)

    def _digest(self, *parts: object) -> bytes:
        text = "\0".join(map(str, (self.seed, self.account_id, self.region, *parts)))
        return sha256(text.encode()).digest()
