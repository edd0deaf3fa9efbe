"""The people whom the sandbox's issuer knows, and the roles that its STS gives."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from gateway.sandbox.callers import ADA_ACCOUNT, EDITH_ACCOUNT, GRACE_ACCOUNT

ROLE_NAME = "clean-rooms-reader"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who can sign in, and the account whose jobs are theirs to see."""

    name: str
    account_id: str
    groups: tuple[str, ...]

    @property
    def claims(self) -> dict[str, object]:
        """What an ID token says of them, beside `sub`."""
        return {"email": f"{self.name}@example.com", "groups": list(self.groups)}

    @property
    def role_arn(self) -> str:
        """The role of their account."""
        return f"arn:aws:iam::{self.account_id}:role/{ROLE_NAME}"


_EVERYBODY = (
    Person("ada", ADA_ACCOUNT, ("analysts",)),
    Person("grace", GRACE_ACCOUNT, ("analysts", "eu")),
    Person("edith", EDITH_ACCOUNT, ("guests",)),
)

PEOPLE: Mapping[str, Person] = MappingProxyType({person.name: person for person in _EVERYBODY})

ROLE_ARNS: Mapping[str, str] = MappingProxyType(
    {person.name: person.role_arn for person in _EVERYBODY}
)
