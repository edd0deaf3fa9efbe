"""The tables of docs/sandbox.md are what the code declares."""

import json
from collections.abc import Mapping
from pathlib import Path

from gateway.sandbox import CALLERS
from gateway.sandbox.data.accounts import USERS
from gateway.sandbox.faults.registry import FAULTS

PAGE = (Path(__file__).parents[2] / "docs/sandbox.md").read_text(encoding="utf-8")


def table(name: str) -> list[list[str]]:
    """Return the cells of a marked table, without its head."""
    _, _, rest = PAGE.partition(f"<!-- {name}: checked by a test -->\n")
    _, _, *lines = rest.partition(f"<!-- /{name} -->")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def parameters(defaults: Mapping[str, object]) -> str:
    return " ".join(
        f"`{name}={value if isinstance(value, str) else json.dumps(value)}`"
        for name, value in defaults.items()
    )


def test_callers() -> None:
    assert table("callers") == [
        [f"`{each.name}`", each.account_id, f"`{each.access_key_id}`", each.note]
        for each in CALLERS.values()
    ]


def test_users() -> None:
    assert table("users") == [
        [f"`{user.name}`", ", ".join(user.groups), f"`{user.role_arn}`"] for user in USERS.values()
    ]


def test_faults() -> None:
    assert table("faults") == [
        [f"`{fault.name}`", parameters(fault.defaults), fault.description]
        for fault in FAULTS.values()
    ]
