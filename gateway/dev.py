"""`gateway dev`: the gateway with GraphiQL over a sandbox, in one process."""

import errno
import json
import os
import socket
import sys
import threading
from collections.abc import Mapping

import click
import uvicorn

from gateway.app import create_app
from gateway.cli import settings_explained
from gateway.logs import configure_logs
from gateway.sandbox import CALLERS, SandboxCaller, create_sandbox
from gateway.settings import read_settings

USUAL_PORT = 8000
USUAL_SANDBOX_PORT = 9000

SHOWN_CALLERS = ("ada", "grace", "edith")
QUERY = "{ audienceGenerationJobs(first: 3) { nodes { name status } pageInfo { endCursor } } }"


def run(host: str, port: int | None, sandbox_port: int | None) -> None:
    """Serve until interrupted; a port that is None is the usual one, or a free one.

    Ends with a message where a setting is wrong or a port is taken.
    """
    with (
        _listen(host, port, USUAL_PORT, "--port") as ours,
        _listen(host, sandbox_port, USUAL_SANDBOX_PORT, "--sandbox-port") as its,
    ):
        with settings_explained():
            settings = read_settings(graphiql=True, introspection=True, upstream_url=_url(its))
            app = create_app(settings, example_headers=aws_headers(CALLERS[SHOWN_CALLERS[0]]))
        configure_logs(settings.log_level)
        sandbox = uvicorn.Server(_config(create_sandbox()))
        thread = threading.Thread(target=sandbox.run, args=([its],), name="sandbox")
        thread.start()
        try:
            _Announced(_config(app), welcome(_url(ours), _url(its))).run([ours])
        except KeyboardInterrupt:
            pass  # the usual way to end it
        finally:
            sandbox.should_exit = True
            thread.join()


class _Announced(uvicorn.Server):
    """Says where it is as soon as it answers."""

    def __init__(self, config: uvicorn.Config, text: str) -> None:
        super().__init__(config)
        self._text = text

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        click.echo(self._text)


def aws_headers(caller: SandboxCaller) -> Mapping[str, str]:
    """Return the headers with which this caller asks the gateway."""
    headers = {
        "X-Aws-Access-Key-Id": caller.access_key_id,
        "X-Aws-Secret-Access-Key": caller.secret_access_key,
    }
    if caller.session_token is not None:
        headers["X-Aws-Session-Token"] = caller.session_token
    return headers


def welcome(url: str, sandbox_url: str) -> str:
    """Tell a newcomer what to open, who to be and what to paste."""
    callers = "\n\n".join(
        f"  {name}: {CALLERS[name].note}\n  {json.dumps(dict(aws_headers(CALLERS[name])))}"
        for name in SHOWN_CALLERS
    )
    headers = " ".join(
        f"-H '{name}: {value}'" for name, value in aws_headers(CALLERS[SHOWN_CALLERS[0]]).items()
    )
    body = json.dumps({"query": QUERY})
    return f"""
Audience Gateway is ready. Open

  {url}/graphql

The sandbox at {sandbox_url} stands in for AWS. Its callers, and the headers by which they ask:

{callers}

Paste into another terminal:

  curl -s {url}/graphql -H 'Content-Type: application/json' {headers} -d '{body}'

See what happens when AWS throttles (and `heal` ends it):

  .venv/bin/gateway sandbox fault throttle --url {sandbox_url}

Ctrl-C ends both.
"""


def _config(app: object) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]  # uvicorn's own type for it is not public
        log_config=None,
        log_level="warning",
        access_log=False,
        ws="none",
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=1,
    )


def _listen(host: str, port: int | None, usual: int, option: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, usual if port is None else port), family=family)
    except OSError as error:
        if port is None and error.errno == errno.EADDRINUSE:
            return socket.create_server((host, 0), family=family)
        click.echo(
            f"gateway: cannot listen on {host}:{usual if port is None else port}: "
            f"{_reason(error)}. Choose others by --host and by {option}.",
            err=True,
        )
        sys.exit(1)


def _reason(error: OSError) -> str:
    # socket's own text repeats the address; getaddrinfo's numbers are not the system's.
    named = isinstance(error, socket.gaierror) or error.errno is None
    return str(error.strerror) if named else os.strerror(error.errno or 0)


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
