"""The commands of the examples' READMEs that put a production build into service."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from gateway.dev import aws_headers
from gateway.sandbox import CALLERS
from tests.examples.app import EXAMPLES, PREVIEW, ROOT
from tests.gateways import TIMEOUT_SECONDS, TLS, Sandbox
from tests.processes import SERVING, Process, clean_environment, process

SHELL = re.compile(r"```sh\n(.*?)```", re.DOTALL)


@contextmanager
def run(command: str, ready: re.Pattern[str], **variables: str) -> Iterator[Process]:
    """Run a documented command from the root of the repository."""
    shell = [str(ROOT / "scripts/with-node"), "bash", "-c", command]
    environment = clean_environment() | {"NO_COLOR": "1"} | variables
    with process(shell, environment, folder=ROOT, ready=ready) as started:
        yield started


def commands(name: str) -> list[str]:
    return SHELL.findall((EXAMPLES / name / "README.md").read_text("utf-8"))


def test_the_build_is_served_as_the_readme_says(sandbox: Sandbox) -> None:
    """In front of a gateway that executes the documents of the build and no others."""
    _, _, serve, preview = commands("relay")
    with run(f"{serve.rstrip()} --port 0", SERVING, GATEWAY_UPSTREAM_URL=sandbox.url) as gateway:
        preview = preview.rstrip().replace("http://127.0.0.1:8000", gateway.url)
        with run(f"{preview} -- --port=0", PREVIEW) as page:
            html = httpx.get(page.url, verify=TLS, timeout=TIMEOUT_SECONDS)
            listed, other = (
                httpx.post(
                    f"{page.url}/graphql",
                    json=request,
                    headers=aws_headers(CALLERS["edith"]),
                    verify=TLS,
                    timeout=TIMEOUT_SECONDS,
                ).json()
                for request in ({"documentId": list_of_jobs(), "variables": {"first": 2}}, OTHER)
            )

    assert "default-src 'none'" in html.headers["content-security-policy"]
    assert len(listed["data"]["audienceGenerationJobs"]["edges"]) == 2
    assert other["errors"][0]["extensions"]["code"] == "FORBIDDEN"


def test_both_readmes_have_the_same_commands() -> None:
    relay = commands("relay")

    assert len(relay) == 4
    assert commands("apollo") == [command.replace("relay", "apollo") for command in relay]


OTHER = {"query": "{ audienceGenerationJobs(first: 1) { nodes { name } } }"}


def list_of_jobs() -> str:
    """Return the id of the query for the table."""
    documents = json.loads((EXAMPLES / "relay/persisted-documents.json").read_text("utf-8"))
    (found,) = (id_ for id_, text in documents.items() if text.startswith("query JobListQuery("))
    return str(found)
