"""What the hostile tests are run with: real programs that are watched, and that end."""

import contextlib
import os
import signal

import httpx
import pytest

from tests.hostile.process import Program, gateway_process, running
from tests.sandbox.wire import JOBS, get


def ended(program: Program) -> bool:
    """Say whether there is no such process any more."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(program.pid, 0)
        return False
    return True


def test_a_program_can_be_asked_watched_and_ended() -> None:
    """It answers where it says, and holds memory, files and threads."""
    with running("sandbox", "--port", "0") as program:
        assert get(program.url, JOBS).status == 200
        assert program.resident() > 10_000_000
        assert program.files() > 3
        assert program.threads() >= 1
        program.signal(signal.SIGTERM)
        assert program.wait(30) in {0, -signal.SIGTERM}

    assert ended(program)


def test_a_program_ends_with_a_test_that_fails() -> None:
    """Also where it would not end by itself."""
    programs = []

    def fail() -> None:
        with gateway_process("http://x") as program:
            programs.append(program)
            assert httpx.get(f"{program.url}/livez").is_success
            program.signal(signal.SIGSTOP)
            raise ValueError("the test's")

    with pytest.raises(ValueError, match="the test's"):
        fail()

    assert [ended(program) for program in programs] == [True]


def test_a_program_that_does_not_start_is_an_error_that_shows_why() -> None:
    """What it has said is in the message."""
    with (
        pytest.raises(AssertionError, match="GATEWAY_CACHE_SECONDS"),
        gateway_process("http://x", cache_seconds="soon"),
    ):
        pass
