"""`gateway dev`: the gateway with GraphiQL over a sandbox, in one process."""

import asyncio
import errno
import os
import socket
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path

import click
import uvicorn

from gateway.app import create_app
from gateway.cli import settings_explained
from gateway.sandbox import CALLERS, ROLE_ARNS, create_sandbox
from gateway.sandbox.remote import ask_control
from gateway.server.lifecycle import PROTOCOL
from gateway.settings import Settings, read_settings
from gateway.telemetry.logging import configure_logs
from gateway.welcome import SHOWN_CALLERS, aws_headers, welcome, welcome_by_token

USUAL_PORT = 8000
USUAL_SANDBOX_PORT = 9000

TOKEN_SECONDS = 8 * 3600


def run(host: str, port: int | None, sandbox_port: int | None) -> None:
    """Serve until interrupted; a port that is None is the usual one, or a free one.

    Ends with a message where a setting is wrong or a port is taken.
    """
    with (
        _listen(host, port, USUAL_PORT, "--port") as ours,
        _listen(host, sandbox_port, USUAL_SANDBOX_PORT, "--sandbox-port") as its,
        tempfile.TemporaryDirectory() as folder,
    ):
        with settings_explained():
            settings = _settings(_url(its), Path(folder) / "oidc.toml")
            app = create_app(settings, example_headers=aws_headers(CALLERS[SHOWN_CALLERS[0]]))
        configure_logs(settings.log_level)
        sandbox = uvicorn.Server(_config(create_sandbox()))
        thread = threading.Thread(target=sandbox.run, args=([its],), name="sandbox")
        thread.start()
        try:
            _Announced(_config(app, PROTOCOL), settings, _url(ours), _url(its)).run([ours])
        except KeyboardInterrupt:
            pass  # the usual way to end it
        finally:
            sandbox.should_exit = True
            thread.join()


def _settings(sandbox_url: str, oidc_file: Path) -> Settings:
    """Read the settings, with the sandbox for all that the environment does not set."""
    over_sandbox = {"graphiql": True, "introspection": True, "upstream_url": sandbox_url}
    settings = read_settings(**over_sandbox)
    if settings.model_fields_set & {"callers", "oidc_file"}:
        return settings
    oidc_file.write_text(_oidc_toml(sandbox_url))
    return read_settings(
        **over_sandbox,
        callers={"aws-headers", "oidc"},
        oidc_file=oidc_file,
        sts_url=sandbox_url,
    )


def _oidc_toml(sandbox_url: str) -> str:
    """Trust the sandbox's issuer, and lead each of its people to the role of their account."""
    roles = "\n".join(
        f'[[issuer.role]]\nmatch = {{ sub = "{name}" }}\nrole_arn = "{arn}"'
        for name, arn in ROLE_ARNS.items()
    )
    return f"""[[issuer]]
issuer = "{sandbox_url}/oidc"
audiences = ["audience-gateway"]
{roles}
"""


class _Announced(uvicorn.Server):
    """Says where it is as soon as it answers."""

    def __init__(
        self, config: uvicorn.Config, settings: Settings, url: str, sandbox_url: str
    ) -> None:
        super().__init__(config)
        self._settings = settings
        self._url = url
        self._sandbox_url = sandbox_url

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        click.echo(welcome(self._url, self._sandbox_url))
        if "oidc" in self._settings.callers:
            token = await asyncio.to_thread(_token, self._sandbox_url)
            click.echo(welcome_by_token(self._url, token))
        click.echo("Ctrl-C ends both.\n")


def _token(sandbox_url: str) -> str:
    order = {"subject": SHOWN_CALLERS[0], "seconds": TOKEN_SECONDS}
    answer: Mapping[str, str] = ask_control(sandbox_url, "POST", "/tokens", order)
    return answer["token"]


def _config(app: object, http: str = "httptools") -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]  # uvicorn's own type for it is not public
        log_config=None,
        log_level="warning",
        http=http,
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
