"""The end of a process, announced and orderly; and its beginning, which a bad setting prevents."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.gateways import Gateway, Sandbox
from tests.hostile.process import Program, gateway_process, running
from tests.hostile.target import JOBS
from tests.redis_servers import until

PATIENCE_SECONDS = 30
FOR_EVER = 3600


@pytest.fixture(params=[1, 2])
def workers(request: pytest.FixtureRequest) -> int:
    """Serve by one process, and by several."""
    number: int = request.param
    return number


@pytest.fixture
def draining(sandbox: Sandbox, workers: int) -> Iterator[Program]:
    """Run a gateway that drains until it is told a second time to end."""
    settings = {"drain_seconds": FOR_EVER, "cache_seconds": 0}
    with gateway_process(sandbox.url, workers=workers, **settings) as program:
        until(lambda: _readyz(program) == (200, "ready\n"))
        yield program
        until(lambda: _ends(program))


def _ends(program: Program) -> bool:
    program.signal(signal.SIGTERM)
    return program.has_ended()


def _readyz(program: Program) -> tuple[int, str]:
    # A connection of its own: with several workers, the next one may be another's.
    try:
        answer = httpx.get(f"{program.url}/readyz")
    except httpx.TransportError:
        return 0, ""  # none of them listens as yet, or any more
    return answer.status_code, answer.text


def test_who_is_told_to_end_says_so_and_serves_on(draining: Program, sandbox: Sandbox) -> None:
    """Not ready, alive, and every question is answered, on connections that then close."""
    draining.signal(signal.SIGTERM)
    until(lambda: all(_readyz(draining) == (503, "draining\n") for _ in range(10)))
    with httpx.Client(base_url=draining.url) as client:
        alive = client.get("/livez")
    answer = Gateway(draining.url, sandbox).ask(JOBS)

    assert (alive.status_code, alive.headers["connection"]) == (200, "close")
    assert len(answer.data["audienceGenerationJobs"]["nodes"]) == 2


def test_a_request_under_way_is_answered_and_the_program_leaves_with_0(
    sandbox: Sandbox, workers: int
) -> None:
    """It began before the end was asked for, and is let go before it."""
    answers: list[int] = []
    with gateway_process(sandbox.url, workers=workers, cache_seconds=0) as program:
        until(lambda: _readyz(program)[0] == 200)
        sandbox.fault("hang")
        gateway = Gateway(program.url, sandbox)
        asking = threading.Thread(target=lambda: answers.append(gateway.ask(JOBS).status))
        asking.start()
        until(lambda: sandbox.count() == 1)
        program.signal(signal.SIGTERM)
        until(lambda: _readyz(program)[0] == 0)
        sandbox.reset()
        code = program.wait(PATIENCE_SECONDS)
        asking.join()

    assert (code, answers) == (0, [200])


def test_a_second_signal_ends_it_at_once(sandbox: Sandbox, workers: int) -> None:
    """Whatever is under way; and that is no failure either."""
    with gateway_process(sandbox.url, workers=workers, drain_seconds=FOR_EVER) as program:
        until(lambda: _readyz(program)[0] == 200)
        sandbox.fault("hang")
        gateway = Gateway(program.url, sandbox)
        asking = threading.Thread(target=lambda: _ask_in_vain(gateway))
        asking.start()
        until(lambda: sandbox.count() == 1)
        program.signal(signal.SIGTERM)
        until(lambda: all(_readyz(program)[0] == 503 for _ in range(10)))
        # One that comes right behind the first is taken for its echo.
        until(lambda: _ends(program))
        code = program.wait(PATIENCE_SECONDS)
        asking.join()
        sandbox.reset()

    assert code == 0


def _ask_in_vain(gateway: Gateway) -> None:
    try:
        gateway.ask(JOBS)
    except httpx.TransportError:
        return


def test_a_signal_to_the_whole_group_is_one_signal(sandbox: Sandbox) -> None:
    """Systemd and terminals send it to supervisor and workers alike: they drain all the same."""
    with gateway_process(sandbox.url, workers=2, drain_seconds=FOR_EVER) as program:
        until(lambda: _readyz(program)[0] == 200)
        for pid in (program.pid, *program.children()):
            os.kill(pid, signal.SIGTERM)
        until(lambda: all(_readyz(program) == (503, "draining\n") for _ in range(10)))
        answer = Gateway(program.url, sandbox).ask(JOBS)
        until(lambda: _ends(program))

    assert answer.data


BROKEN = {
    "AUDIENCE": "x",
    "CACHE_URL": "redis://:hunter2hunter2@a b",
    "MAX_IN_FLIGHT": "0",
    "CORS_ORIGINS": "*",
    "CACHE_URL_FILE": "/nowhere/url",
    "OIDC_FILE": "/nowhere/oidc.toml",
    "ROUTER_SECRET_FILE": "/nowhere/secrets",
}
"""GATEWAY_* without the prefix, and a value it does not take: one of each kind of check."""


@pytest.mark.parametrize("name", BROKEN)
def test_a_bad_setting_stops_the_start_and_is_named(name: str, tmp_path: Path) -> None:
    """The program ends by itself, before it listens; no value of a secret is repeated."""
    environment = {f"GATEWAY_{name}": BROKEN[name], "HOME": str(tmp_path)}
    if name == "OIDC_FILE":
        environment["GATEWAY_CALLERS"] = "oidc"
    with (
        pytest.raises(AssertionError) as caught,
        running("serve", "--port", "0", environment=environment),
    ):
        pass

    assert f"GATEWAY_{name}" in str(caught.value)
    assert "Traceback" not in str(caught.value)
    assert "hunter2" not in str(caught.value)
