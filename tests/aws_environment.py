"""AWS credentials and settings of a machine, none of which the gateway may use."""

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.responses import JSONResponse, Response

from tests.serving import serve
from tests.upstream.recorder import Received, Recorder

CANARY = "CANARY"
KEY_ID = f"ASIA{CANARY}0123456789"
SECRET = f"{CANARY}-secret"
TOKEN = f"{CANARY}-token"
ROLE = f"arn:aws:iam::999999999999:role/{CANARY}"

KEYS = f"""
aws_access_key_id = {KEY_ID}
aws_secret_access_key = {SECRET}
aws_session_token = {TOKEN}
"""
SETTINGS = """
endpoint_url = {stub}
region = eu-west-3
services = mine
credential_process = /bin/sh -c 'touch {folder}/touched'
"""
FILE = f"""
[default]
{KEYS}{SETTINGS}
[profile keys]
{KEYS}{SETTINGS}
[keys]
{KEYS}
[profile role]
role_arn = {ROLE}
source_profile = default
web_identity_token_file = {{folder}}/token
{SETTINGS}
[services mine]
cleanroomsml =
  endpoint_url = {{stub}}
"""
FILES = {"AWS_CONFIG_FILE": "{folder}/config", "AWS_SHARED_CREDENTIALS_FILE": "{folder}/config"}

SOURCES: dict[str, dict[str, str]] = {
    "variables": {
        "AWS_ACCESS_KEY_ID": KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_SESSION_TOKEN": TOKEN,
    },
    "profile with keys": {"AWS_PROFILE": "keys", **FILES},
    "profile with a role": {"AWS_PROFILE": "role", **FILES},
    "web identity": {
        "AWS_ROLE_ARN": ROLE,
        "AWS_ROLE_SESSION_NAME": CANARY,
        "AWS_WEB_IDENTITY_TOKEN_FILE": "{folder}/token",
    },
    "container": {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": "{stub}/container",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": TOKEN,
    },
    "instance": {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "{stub}"},
    "bearer": {
        "AWS_BEARER_TOKEN_CLEANROOMS_ML": TOKEN,
        "AWS_BEARER_TOKEN_CLEANROOMSML": TOKEN,
        "AWS_BEARER_TOKEN_STS": TOKEN,
        "AWS_AUTH_SCHEME_PREFERENCE": "httpBearerAuth,noauth",
    },
}
EVERYWHERE = {
    "HOME": "{folder}",
    "AWS_ENDPOINT_URL": "{stub}",
    "AWS_ENDPOINT_URL_STS": "{stub}",
    "AWS_ENDPOINT_URL_CLEANROOMSML": "{stub}",
    "AWS_DEFAULT_REGION": "eu-west-3",
    "AWS_REGION": "eu-west-3",
    "AWS_DEFAULTS_MODE": "auto",
    "AWS_MAX_ATTEMPTS": "9",
    "AWS_USE_FIPS_ENDPOINT": "true",
    "AWS_USE_DUALSTACK_ENDPOINT": "true",
}


@dataclasses.dataclass(frozen=True)
class Traps:
    """What shows that a source of credentials was used: requests to a stub, or a file."""

    stub: Recorder
    touched: Path

    def check(self) -> None:
        """Assert that none was used."""
        assert self.stub.requests == []
        assert not self.touched.exists()


@contextlib.contextmanager
def aws_environment(source: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Traps]:
    """Make one source the first choice of the AWS libraries."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    stub = Recorder(_credentials)
    with serve(stub) as url:
        places = {"stub": url, "folder": str(folder)}
        (folder / "config").write_text(FILE.format(**places), encoding="utf-8")
        (folder / "token").write_text(TOKEN, encoding="utf-8")
        for name, value in {**EVERYWHERE, **SOURCES[source]}.items():
            monkeypatch.setenv(name, value.format(**places))
        yield Traps(stub, folder / "touched")


def _credentials(received: Received) -> Response:
    if received.path.endswith("/security-credentials/"):
        return Response(b"canary-role", media_type="text/plain")
    keys = {"AccessKeyId": KEY_ID, "SecretAccessKey": SECRET, "Token": TOKEN}
    return JSONResponse({**keys, "Expiration": "2999-01-01T00:00:00Z", "Code": "Success"})
