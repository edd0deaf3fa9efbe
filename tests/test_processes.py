"""The helper that runs programs: what it starts is observed, and ends."""

import signal
import sys

import pytest

from tests import processes
from tests.processes import Process, clean_environment, gateway_process, process, sandbox_process
from tests.sandbox.wire import JOBS, get

STUBBORN = """
import os, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.fork()
print("running on http://x", flush=True)
signal.pause()
"""


def test_a_process_serves_is_observed_and_ends() -> None:
    with sandbox_process() as sandbox:
        assert get(sandbox.url, JOBS).status == 200
        assert sandbox.resident_bytes() > 10_000_000
        assert sandbox.open_files() > 3
        assert sandbox.threads() >= 1
        assert sandbox.terminate() in {0, -signal.SIGTERM}

    assert sandbox.has_ended()


def test_a_failing_test_ends_a_process_that_ignores_sigterm_and_its_children(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(processes, "KILL_SECONDS", 0.1)
    started: list[Process] = []

    def fail() -> None:
        with process([sys.executable, "-c", STUBBORN], clean_environment()) as stubborn:
            started.append(stubborn)
            raise ValueError("the test's")

    with pytest.raises(ValueError, match="the test's"):
        fail()

    # The child has the same standard output: with it alive, the block would not have ended.
    assert started[0].has_ended()


def test_a_failed_start_raises_with_the_output() -> None:
    with (
        pytest.raises(AssertionError, match="GATEWAY_CACHE_SECONDS"),
        gateway_process("http://x", cache_seconds="soon"),
    ):
        pass
