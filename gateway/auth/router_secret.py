"""The router of a federated graph: how its questions are told from anybody else's."""

import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from gateway.settings import SettingsError

HEADER = b"x-router-secret"

SETTING = "GATEWAY_ROUTER_SECRET_FILE"

_SECRET = re.compile(rb"[\x21-\x7e]{16,1024}")


@dataclass(frozen=True, slots=True)
class RouterSecrets:
    """What a router shows to be one: any of these, so that a new one can be brought in first."""

    accepted: tuple[bytes, ...] = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file with a secret a line.

        Raises SettingsError that names the line, never what is in it.
        """
        try:
            lines = path.read_bytes().splitlines()
        except OSError as error:
            raise SettingsError(f"{SETTING}: {path} cannot be read: {error.strerror}.") from None
        if not lines:
            raise SettingsError(f"{SETTING}: {path} is empty. Accepted: one secret a line.")
        for number, line in enumerate(lines, 1):
            if not _SECRET.fullmatch(line):
                raise SettingsError(
                    f"{SETTING}: line {number} of {path} is no secret. Accepted: 16 to 1024 "
                    "visible ASCII characters, no spaces."
                )
        return cls(tuple(lines))

    def shown_by(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Say whether a request shows one of them, once."""
        shown = [value for name, value in headers if name == HEADER]
        # All are compared: time must not tell which one, nor how much of it, was right.
        matches = [hmac.compare_digest(value, each) for value in shown for each in self.accepted]
        return len(shown) == 1 and any(matches)
