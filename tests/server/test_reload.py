"""SIGHUP reads the files again that the settings name, in every process, without a restart."""

import json
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from gateway.environment import setting_schemas
from gateway.sandbox import ROLE_ARNS
from gateway.settings import variable
from tests.auth.issuers import sandbox_file
from tests.gateways import Answer, Gateway, Sandbox, bearer, http
from tests.http.persisted import send
from tests.processes import (
    PATIENT,
    Process,
    clean_environment,
    gateway_command,
    process,
    until,
)
from tests.redis_servers import running_redis

RELOADED = "configuration reloaded"
FAILED = "reload failed; the previous configuration is kept"

OLD, NEW = "the-old-secret-of-the-router", "the-new-secret-of-the-router"

JOBS = "{ audienceGenerationJobs(first: 2) { nodes { name audienceGenerationJobArn } } }"
EXPORTS = "{ audienceExportJobs(first: 2) { nodes { name } } }"
ENTITY = """
query($r: [_Any!]!) { _entities(representations: $r) { ... on AudienceGenerationJob { name } } }
"""

REQUESTS = 12
"""So many that each of two processes gets one."""

HANGUP_AT_START = """
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
os.kill(os.getpid(), signal.SIGHUP)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
"""Starts a program that has received SIGHUP before it can handle it."""


class MountedFiles:
    """The OIDC file and the file of router secrets, replaced as Kubernetes replaces a mount."""

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        self._folder = folder
        self._sandbox = sandbox
        self._versions = 0

    def write(
        self,
        *secrets: str,
        issuer: str | None = None,
        roles: Mapping[str, str] = ROLE_ARNS,
        oidc: str | None = None,
        documents: str = '{"typename": "{ __typename }"}',
    ) -> None:
        self._versions += 1
        version = self._folder / str(self._versions)
        version.mkdir()
        file = sandbox_file(version, issuer or self._sandbox.url, roles)
        if oidc is not None:
            file.write_text(oidc, encoding="utf-8")
        (version / "secrets").write_text("\n".join(secrets), encoding="utf-8")
        (version / "documents.json").write_text(documents, encoding="utf-8")
        link = self._folder / "new"
        link.symlink_to(version)
        link.replace(self._folder / "mounted")

    @property
    def documents_file(self) -> str:
        return str(self._folder / "mounted" / "documents.json")

    @property
    def settings(self) -> Mapping[str, str]:
        return {
            "GATEWAY_CALLERS": "aws-headers,oidc",
            "GATEWAY_OIDC_FILE": str(self._folder / "mounted" / "oidc.toml"),
            "GATEWAY_ROUTER_SECRET_FILE": str(self._folder / "mounted" / "secrets"),
            "GATEWAY_STS_URL": self._sandbox.url,
            "GATEWAY_UPSTREAM_URL": self._sandbox.url,
            "GATEWAY_CACHE_SECONDS": "600",
            "GATEWAY_DRAIN_SECONDS": "0",
        }


@pytest.fixture
def files(tmp_path: Path, sandbox: Sandbox) -> MountedFiles:
    return MountedFiles(tmp_path, sandbox)


@contextmanager
def started_with_a_hangup(files: MountedFiles, workers: int) -> Iterator[Process]:
    program = ("-m", "gateway", "serve", "--port", "0", "--workers", str(workers))
    command = [sys.executable, "-c", HANGUP_AT_START, *program]
    with process(command, {**clean_environment(), **files.settings}) as started:
        until(lambda: len(lines(started, RELOADED)) == workers)
        yield started


def lines(gateway: Process, event: str) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, list(gateway.output)) if line["event"] == event]


def running(gateway: Process) -> int:
    """Return how many processes have started to serve."""
    return sum("running on" in line for line in list(gateway.output))


def pid_of_worker(gateway: Process) -> int:
    (found, *_) = re.findall(r"Started server process \[(\d+)\]", "".join(gateway.output))
    return int(found)


def reload(gateway: Process, event: str, workers: int) -> dict[str, Any]:
    """Send SIGHUP, and return what one process logs once all of them have logged it."""
    before = len(lines(gateway, event))
    gateway.send_signal(signal.SIGHUP)
    until(lambda: len(lines(gateway, event)) == before + workers)
    return lines(gateway, event)[-1]


def token_of(sandbox: Sandbox, subject: str = "ada") -> str:
    answer = http("POST", f"{sandbox.url}/_sandbox/tokens", json={"subject": subject})
    token: str = answer.json()["token"]
    return token


class Probes:
    """Requests that depend on the files, each sent to every process."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.token = bearer(token_of(gateway.sandbox))
        self._representation: Mapping[str, str] = {}

    def ask_with_token(self, **headers: str) -> Answer:
        return self.gateway.ask(JOBS, caller=None, headers={**self.token, **headers})

    def with_token(self) -> set[int]:
        return {self.ask_with_token().status for _ in range(REQUESTS)}

    def with_secret(self, secret: str) -> set[str]:
        """Return the outcomes of a router's requests, which are cached like any other."""
        answers = [
            self.gateway.ask(
                ENTITY, {"r": [self.representation]}, headers={"X-Router-Secret": secret}
            )
            for _ in range(REQUESTS)
        ]
        return {answer.code if answer.errors else "OK" for answer in answers}

    @property
    def representation(self) -> Mapping[str, str]:
        if not self._representation:
            nodes = self.gateway.ask(JOBS).data["audienceGenerationJobs"]["nodes"]
            arn = nodes[0]["audienceGenerationJobArn"]
            self._representation = {
                "__typename": "AudienceGenerationJob",
                "audienceGenerationJobArn": arn,
            }
        return self._representation


@pytest.mark.parametrize("workers", [1, 2])
def test_what_was_withdrawn_ends_at_once_and_what_was_added_works(
    sandbox: Sandbox, files: MountedFiles, workers: int
) -> None:
    """Cached answers, verified tokens and sessions end too; a request in progress does not."""
    files.write(OLD)
    with started_with_a_hangup(files, workers) as served:
        probes = Probes(Gateway(served.url, sandbox))
        before = probes.with_token(), probes.with_secret(OLD), probes.with_secret(NEW)
        sandbox.fault("hang", operation="ListAudienceExportJobs")
        with ThreadPoolExecutor(1) as thread:
            pending = thread.submit(probes.gateway.ask, EXPORTS, caller=None, headers=probes.token)
            until(lambda: sandbox.count("ListAudienceExportJobs") == 1)
            files.write(NEW, issuer="https://issuer.example")
            changes = reload(served, RELOADED, workers)
            after = probes.with_token(), probes.with_secret(OLD), probes.with_secret(NEW)
            sandbox.reset()
            in_progress = pending.result()
        files.write(OLD, NEW)
        restored = reload(served, RELOADED, workers)
        finally_ = probes.with_token(), probes.with_secret(OLD), probes.with_secret(NEW)
        output = "".join(served.output)

    assert before == ({200}, {"OK"}, {"FORBIDDEN"})
    assert after == ({401}, {"FORBIDDEN"}, {"OK"})
    assert in_progress.data["audienceExportJobs"]["nodes"]
    assert finally_ == ({200}, {"OK"}, {"OK"})
    assert changes.items() >= {
        ("issuers_added", 1),
        ("issuers_removed", 1),
        ("issuers_changed", 0),
        ("router_secrets_added", 1),
        ("router_secrets_removed", 1),
    }
    assert (restored["router_secrets_added"], restored["router_secrets_removed"]) == (1, 0)
    assert OLD not in output
    assert NEW not in output


def test_a_changed_role_applies_to_the_next_request(sandbox: Sandbox, files: MountedFiles) -> None:
    """The keys of the issuer are kept."""
    files.write(OLD)
    with gateway_command("serve", "--port", "0", environment=files.settings) as served:
        probes = Probes(Gateway(served.url, sandbox))
        adas = probes.ask_with_token().data
        fetched = served_keys(sandbox)
        files.write(OLD, roles={**ROLE_ARNS, "ada": ROLE_ARNS["edith"]})
        changes = reload(served, RELOADED, 1)
        ediths = probes.ask_with_token().data
        fetched_later = served_keys(sandbox)

    assert changes["issuers_changed"] == 1
    assert adas != ediths
    assert ediths["audienceGenerationJobs"]["nodes"]
    assert fetched == fetched_later == 1


def served_keys(sandbox: Sandbox) -> int:
    return sum("jwks" in str(call["operation"]).lower() for call in sandbox.calls)


def test_an_invalid_file_changes_nothing(sandbox: Sandbox, files: MountedFiles) -> None:
    """One line of each process says why, without the content of the file."""
    workers = 2
    files.write(OLD)
    with gateway_command(
        "serve", "--port", "0", "--workers", str(workers), environment=files.settings
    ) as served:
        probes = Probes(Gateway(served.url, sandbox))
        until(lambda: running(served) == workers)
        files.write(NEW, "too short")
        secrets = reload(served, FAILED, workers)
        files.write(NEW, oidc="canary = ")
        toml = reload(served, FAILED, workers)
        kept = probes.with_token(), probes.with_secret(OLD), probes.with_secret(NEW)
        # A worker that ends now is replaced once the file is valid again.
        os.kill(pid_of_worker(served), signal.SIGKILL)
        until(lambda: lines(served, "worker cannot start"))
        files.write(OLD)
        until(lambda: running(served) == workers + 1)
        output = "".join(served.output)

    assert "GATEWAY_ROUTER_SECRET_FILE: line 2" in secrets["reason"]
    assert "GATEWAY_OIDC_FILE" in toml["reason"]
    assert secrets["level"] == toml["level"] == "error"
    assert kept == ({200}, {"OK"}, {"FORBIDDEN"})
    assert lines(served, RELOADED) == []
    assert "too short" not in output
    assert "canary" not in output
    assert "Traceback" not in output


def make_large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**40)


UNREADABLE: Mapping[str, Callable[[Path], None]] = {
    "is not a regular file": os.mkfifo,
    "is a directory": Path.mkdir,
    "is too large": make_large,
    "No such file": lambda _: None,
}
"""What a reader would wait for, or fill the memory with, and what else is no file."""


def test_no_file_is_waited_for_or_fills_the_memory(files: MountedFiles, tmp_path: Path) -> None:
    """Whichever setting names it: the reload fails, and the process ends when it is told to."""
    files.write(OLD)
    url = tmp_path / "url"
    url.write_text("memory://", encoding="utf-8")
    settings = {
        **files.settings,
        "GATEWAY_CACHE_URL_FILE": str(url),
        "GATEWAY_PERSISTED_DOCUMENTS_FILE": files.documents_file,
    }
    named = {name: Path(value) for name, value in settings.items() if name.endswith("_FILE")}
    paths = {name: path.resolve() for name, path in named.items()}
    assert named.keys() == {
        variable(name)
        for name, schema in setting_schemas().items()
        if schema.get("format") == "path"
    }
    with gateway_command("serve", "--port", "0", environment=settings) as served:
        before = served.peak_bytes()
        for name, path in paths.items():
            content = path.read_bytes()
            for problem, make in UNREADABLE.items():
                path.unlink()
                make(path)
                reason = reload(served, FAILED, 1)["reason"]
                assert reason.startswith(f"{name}: {named[name]}")
                assert problem.lower() in reason.lower()
                remove(path)
                path.write_bytes(content)
        reload(served, RELOADED, 1)
        grown = served.peak_bytes() - before
        assert served.terminate() == 0

    assert grown < 50_000_000


def remove(path: Path) -> None:
    if path.is_dir():
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


def test_a_new_password_of_redis_is_used(sandbox: Sandbox, tmp_path: Path) -> None:
    file = tmp_path / "url"
    with running_redis(password="first") as redis, redis.client() as admin:

        def url_with(password: str) -> str:
            return f"redis://:{quote(password)}@127.0.0.1:{redis.port}/0"

        file.write_text(url_with("first"), encoding="utf-8")
        settings = {"GATEWAY_UPSTREAM_URL": sandbox.url, "GATEWAY_CACHE_URL_FILE": str(file)}
        with gateway_command(
            "serve", "--port", "0", module=PATIENT, environment=settings
        ) as served:
            gateway = Gateway(served.url, sandbox)
            gateway.ask(JOBS)
            first = entries(admin)
            admin.config_set("requirepass", "second secret")
            admin.client_kill_filter(_type="normal", skipme=True)
            file.write_text(url_with("second secret"), encoding="utf-8")
            changes = reload(served, RELOADED, 1)
            gateway.ask(EXPORTS)
            second = entries(admin)
            file.write_text("memory://", encoding="utf-8")
            refused = reload(served, FAILED, 1)
            output = "".join(served.output)

    assert (first, second) == (1, 2)
    assert changes["cache_url_changed"] is True
    assert "GATEWAY_CACHE_URL_FILE: a change between memory:// and Redis" in refused["reason"]
    assert "second" not in output


def entries(redis: Any) -> int:
    """Return the number of cached responses."""
    return len(redis.keys("audience-gateway:1:*"))


def test_a_hangup_is_ignored_under_nohup(sandbox: Sandbox) -> None:
    workers = 2
    program = (sys.executable, "-m", "gateway", "serve", "--port", "0", "--workers", str(workers))
    environment = {**clean_environment(), "GATEWAY_UPSTREAM_URL": sandbox.url}
    with process(["nohup", *program], environment) as served:
        until(lambda: running(served) == workers)
        pids = [served.pid, *served.children()]
        ignored = [ignores_hangups(pid) for pid in pids]

    assert ignored == [True] * len(pids)


def ignores_hangups(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    (mask,) = [line.split()[1] for line in status.splitlines() if line.startswith("SigIgn:")]
    return bool(int(mask, 16) & 1 << signal.SIGHUP - 1)


@pytest.mark.parametrize("only", [False, True])
def test_a_document_that_was_withdrawn_ends_at_once(
    sandbox: Sandbox, files: MountedFiles, *, only: bool
) -> None:
    """Kept answers to its id end too, and come back for none. An invalid file changes nothing."""
    settings = {
        **files.settings,
        "GATEWAY_PERSISTED_DOCUMENTS_FILE": files.documents_file,
        "GATEWAY_PERSISTED_ONLY": str(only),
    }
    file = {"listing": JOBS, "exports": EXPORTS}
    files.write(OLD, documents=json.dumps(file))
    with gateway_command("serve", "--port", "0", environment=settings) as served:
        gateway = Gateway(served.url, sandbox)

        def outcomes() -> list[str]:
            return [
                answer.errors[0]["extensions"]["code"] if answer.errors else "OK"
                for document_id in ("listing", "exports", "listing", "exports")
                for answer in (send(gateway, {"documentId": document_id}),)
            ]

        before = outcomes()
        files.write(OLD, documents=json.dumps({"exports": EXPORTS, "other": "{ __typename }"}))
        changes = reload(served, RELOADED, 1)
        after = outcomes()
        files.write(OLD, documents=json.dumps({"listing": "{ nothing }"}))
        failed = reload(served, FAILED, 1)
        unchanged = outcomes()
        files.write(OLD, documents=json.dumps({**file, "exports": JOBS}))
        changed = reload(served, RELOADED, 1)
        restored = send(gateway, {"documentId": "exports"}).data

    logged = [
        (line["document_id"], line["persisted"], line["answer"])
        for line in lines(served, "request")[:4]
    ]

    assert before == ["OK"] * 4
    assert logged == [
        (document_id, "manifest", answer)
        for answer in (None, "cache")
        for document_id in ("listing", "exports")
    ]
    assert after == unchanged == ["PERSISTED_QUERY_NOT_FOUND", "OK"] * 2
    assert (changes["documents_added"], changes["documents_removed"]) == (1, 1)
    assert "`listing`: Cannot query field" in failed["reason"]
    assert (changed["documents_added"], changed["documents_removed"]) == (2, 2)
    assert list(restored) == ["audienceGenerationJobs"]
