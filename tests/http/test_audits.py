"""The public GraphQL over HTTP audit suite, npm `graphql-http`, against a running gateway."""

import json
import subprocess
from pathlib import Path

from tests.gateways import Gateway

ROOT = Path(__file__).parents[2]
AUDITS = 61


def test_all_audits_are_ok(gateway: Gateway) -> None:
    """No audit, whether MUST, SHOULD or MAY, ends with an error or a warning."""
    command = ["scripts/with-node", "node", "tests/audits/audit.mjs", f"{gateway.url}/graphql"]
    done = subprocess.run(  # noqa: S603  a fixed command
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert [r for r in results if r["status"] != "ok"] == []
    assert len(results) == AUDITS
