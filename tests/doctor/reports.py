"""One way to run the check, and to read its report."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from gateway.cli import main
from gateway.sandbox import CALLERS

NONE: Mapping[str, str] = {}


@dataclass(frozen=True)
class Report:
    """What the check has printed, and its exit code."""

    code: int
    rows: Mapping[str, Mapping[str, str]]
    printed: str

    def state(self, what: str) -> str:
        """Give the state of one row."""
        return self.rows[what]["state"]

    def why(self, what: str) -> str:
        """Give what a row says, its remedy included."""
        return f"{self.rows[what]['detail']} {self.rows[what]['remedy']}"

    @property
    def failed(self) -> set[str]:
        """What does not work."""
        return {what for what, row in self.rows.items() if row["state"] == "FAIL"}

    def assert_failed(self, what: str, *words: str) -> None:
        """Hold that a row fails for a reason with these words, and says what to do."""
        assert self.state(what) == "FAIL", self.rows[what]
        assert all(word in self.why(what) for word in words), self.rows[what]
        assert self.code in {1, 2}


def checked(*arguments: str, aws: Mapping[str, str] = NONE, **settings: Any) -> Report:
    """Run the check; `settings` are GATEWAY_* without the prefix, `aws` other variables."""
    given = {f"GATEWAY_{name.upper()}": str(value) for name, value in settings.items()}
    ended = CliRunner().invoke(main, ["check", "--json", *arguments], env={**given, **aws})
    assert isinstance(ended.exception, SystemExit | None), ended.exception
    assert ended.stderr == ""
    document: Any = json.loads(ended.stdout)
    rows = {row["what"]: row for row in document["rows"]}
    assert document["exitCode"] == ended.exit_code
    for row in document["rows"]:
        # Whatever is wrong says why, and what to do.
        assert row["detail"], row
        assert bool(row["remedy"]) == (row["state"] in {"FAIL", "warn"}), row
    return Report(ended.exit_code, rows, ended.output)


def keys_of(caller: str) -> dict[str, str]:
    """Give a sandbox's caller as the variables of AWS's own tools."""
    known = CALLERS[caller]
    keys = {
        "AWS_ACCESS_KEY_ID": known.access_key_id,
        "AWS_SECRET_ACCESS_KEY": known.secret_access_key,
    }
    return keys | ({"AWS_SESSION_TOKEN": known.session_token} if known.session_token else {})


OIDC_FILE = """
[[issuer]]
issuer = "{issuer}"
audiences = ["audience-gateway"]
{more}
[[issuer.role]]
match = {{ sub = "ada" }}
role_arn = "arn:aws:iam::111122223333:role/clean-rooms-reader"
"""


def trusting(folder: Path, issuer: str, more: str = "") -> dict[str, Any]:
    """Write an OIDC file that trusts an issuer, and give the settings that name it."""
    path = folder / "oidc.toml"
    path.write_text(OIDC_FILE.format(issuer=issuer, more=more), encoding="utf-8")
    return {"callers": "aws-headers,oidc", "oidc_file": path}
