"""Run an example frontend with Vite's development server over `gateway dev`.

    python -m scripts.example relay [port]

The page is at the given port; without one, at 5173, or at a free port if that is taken. Either
program ends with the other, and both with Ctrl-C.
"""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from gateway.sandbox import CALLERS

ROOT = Path(__file__).resolve().parents[1]
HOST = "127.0.0.1"
PAGE_PORT = 5173
SHOWN_CALLERS = ("ada", "grace", "edith")
START_SECONDS = 60
STOP_SECONDS = 5
POLL_SECONDS = 0.1
JOB_SECONDS = 60
"""How long the job takes that the welcome starts."""

WELCOME = """
The example runs over the sandbox. Open

  {url}

and sign in with one of the buttons below the form: {callers}.
To see a job become done, start one of ada, press Reload in the page, and open it:

  {start_job}

The gateway, with GraphiQL, is at {gateway_url}/graphql, the sandbox at
{sandbox_url}. Their log is {log}.
Press Ctrl-C to stop both.
"""


class ExampleError(Exception):
    """The example cannot start or go on."""


def main(arguments: Sequence[str]) -> None:
    name, *rest = arguments
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt), ExitStack() as stack:
        page_port = _port_of(rest[0]) if rest else _port(PAGE_PORT, otherwise_free=True)
        gateway_port, sandbox_port = _port(0), _port(0)
        gateway_url = f"http://{HOST}:{gateway_port}"
        sandbox_url = f"http://{HOST}:{sandbox_port}"
        gateway_command = shlex.join([sys.executable, "-m", "gateway"])
        log = stack.enter_context(tempfile.NamedTemporaryFile("w+", suffix=".gateway.log"))
        gateway = stack.enter_context(
            _running(
                sys.executable, "-m", "gateway", "dev",
                f"--port={gateway_port}", f"--sandbox-port={sandbox_port}",
                output=log,
            )
        )  # fmt: skip
        _wait_for(f"{gateway_url}/readyz", gateway, log)
        page = stack.enter_context(
            _running(
                str(ROOT / "scripts/with-node"), "npm", "run", "--silent", "dev", "--",
                f"--port={page_port}", "--strictPort", "--clearScreen=false",
                folder=ROOT / "examples" / name,
                GATEWAY_URL=gateway_url,
                VITE_SANDBOX_CALLERS=json.dumps(_sandbox_callers()),
            )
        )  # fmt: skip
        page_url = f"http://{HOST}:{page_port}/"
        _wait_for(page_url, page)
        print(
            WELCOME.format(
                url=page_url,
                callers=", ".join(SHOWN_CALLERS),
                gateway_url=gateway_url,
                sandbox_url=sandbox_url,
                start_job=f"{gateway_command} sandbox start-job --caller ada "
                f"--seconds {JOB_SECONDS} --url {sandbox_url}",
                log=log.name,
            ),
            flush=True,
        )
        while gateway.poll() is None and page.poll() is None:
            time.sleep(POLL_SECONDS)
        if gateway.poll() is not None:
            raise ExampleError(_end_of(log, "The gateway has ended"))
        raise ExampleError("Vite has ended.")


def _sandbox_callers() -> list[dict[str, object]]:
    """Return the callers in the form of the examples' `Caller`."""
    return [
        {
            "label": f"{name}: {CALLERS[name].note}",
            "credentials": {
                "accessKeyId": CALLERS[name].access_key_id,
                "secretAccessKey": CALLERS[name].secret_access_key,
                "sessionToken": CALLERS[name].session_token,
            },
        }
        for name in SHOWN_CALLERS
    ]


def _port_of(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 2**16:
        raise ExampleError(f"PORT is {text!r}. Accepted: 1 to 65535.")
    return _port(int(text))


def _port(wanted: int, *, otherwise_free: bool = False) -> int:
    """Return a port that nobody listens on; 0 is any."""
    try:
        with socket.create_server((HOST, wanted)) as listener:
            port: int = listener.getsockname()[1]
            return port
    except OSError as error:
        if otherwise_free:
            return _port(0)
        raise ExampleError(f"Port {wanted} cannot be used: {error.strerror}.") from None


@contextmanager
def _running(
    *command: str, folder: Path = ROOT, output: IO[str] | None = None, **environment: str
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a command to the end of the block, with the processes that it starts."""
    with subprocess.Popen(  # noqa: S603 - our own programs
        command,
        cwd=folder,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output and subprocess.STDOUT,
        start_new_session=True,  # so that Ctrl-C reaches this process alone, which ends the others
    ) as process:
        try:
            yield process
        finally:
            _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)


def _wait_for(url: str, process: "subprocess.Popen[bytes]", log: IO[str] | None = None) -> None:
    """Wait until a process answers; raise ExampleError if it ends instead, or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError), urllib.request.urlopen(url, timeout=1):  # noqa: S310 - our own
            return
        time.sleep(POLL_SECONDS)
    raise ExampleError(_end_of(log, f"Nothing serves {url}"))


def _end_of(log: IO[str] | None, problem: str) -> str:
    if log is None:
        return f"{problem}."
    log.seek(0)
    return f"{problem}. The end of its log:\n" + "".join(log.readlines()[-20:])


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except ExampleError as error:
        sys.exit(str(error))
