"""Runs of `gateway check`, and their reports."""

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
    code: int
    rows: Mapping[str, Mapping[str, str]]
    printed: str

    def state(self, what: str) -> str:
        return self.rows[what]["state"]

    def text(self, what: str) -> str:
        return f"{self.rows[what]['detail']} {self.rows[what]['remedy']}"

    @property
    def failed(self) -> set[str]:
        return {what for what, row in self.rows.items() if row["state"] == "FAIL"}

    def assert_failed(self, what: str, *words: str) -> None:
        """Assert that a row fails, and that its text has these words."""
        assert self.state(what) == "FAIL", self.rows[what]
        assert all(word in self.text(what) for word in words), self.rows[what]
        assert self.code in {1, 2}


def check(*arguments: str, aws: Mapping[str, str] = NONE, **settings: Any) -> Report:
    """Run the check; `settings` are GATEWAY_* without the prefix, `aws` are other variables."""
    environment = {f"GATEWAY_{name.upper()}": str(value) for name, value in settings.items()}
    result = CliRunner().invoke(main, ["check", "--json", *arguments], env={**environment, **aws})
    assert isinstance(result.exception, SystemExit | None), result.exception
    assert result.stderr == ""
    document: Any = json.loads(result.stdout)
    assert document["exitCode"] == result.exit_code
    for row in document["rows"]:
        assert list(row) == ["what", "state", "detail", "remedy"]
        assert row["detail"], row
        assert bool(row["remedy"]) == (row["state"] in {"FAIL", "warn"}), row
    return Report(result.exit_code, {row["what"]: row for row in document["rows"]}, result.output)


def aws_variables(caller: str) -> dict[str, str]:
    """Return the credentials of a sandbox caller as the variables of AWS's own tools."""
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


def oidc_settings(folder: Path, issuer: str, more: str = "") -> dict[str, Any]:
    """Write an OIDC file that trusts an issuer, and return the settings that name it."""
    path = folder / "oidc.toml"
    path.write_text(OIDC_FILE.format(issuer=issuer, more=more), encoding="utf-8")
    return {"callers": "aws-headers,oidc", "oidc_file": path}
