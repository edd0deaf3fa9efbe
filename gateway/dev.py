"""`gateway dev`: the gateway with GraphiQL in front of a sandbox, in one process."""

import asyncio
import errno
import json
import os
import socket
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import click
import uvicorn
from starlette.middleware import Middleware

from gateway.app import create_app
from gateway.http.responses import bad_request, error_response
from gateway.sandbox import CALLERS, ROLE_ARNS, SandboxCaller, create_sandbox
from gateway.sandbox.app import restrict_hosts
from gateway.sandbox.cli import request_control
from gateway.sandbox.hosts import MISDIRECTED_REQUEST, AllowedHosts, AllowedHostsMiddleware
from gateway.sandbox.protocol import SERVER_OPTIONS
from gateway.server.lifecycle import PROTOCOL
from gateway.settings import Settings, read_settings
from gateway.telemetry.logging import configure_logs

DEFAULT_PORT = 8000
DEFAULT_SANDBOX_PORT = 9000

TOKEN_SECONDS = 8 * 3600

SHOWN_CALLERS = ("ada", "grace", "edith")

QUERY = "{ audienceGenerationJobs(first: 3) { nodes { name status } pageInfo { endCursor } } }"

OIDC_ISSUER = """\
[[issuer]]
issuer = "{sandbox_url}/oidc"
audiences = ["audience-gateway"]
"""

OIDC_ROLE = """\
[[issuer.role]]
match = {{ sub = "{name}" }}
role_arn = "{role_arn}"
"""

WELCOME = """
Audience Gateway is running. Open

  {url}/graphql

The sandbox at {sandbox_url} stands in for AWS. Its callers and their headers:

{callers}

Send a query from another terminal:

  {curl}

Simulate throttling by AWS (`heal` ends it):

  .venv/bin/gateway sandbox fault throttle --url {sandbox_url}
"""

WELCOME_OIDC = """\
Send it as {name} with a token of the sandbox's OIDC issuer instead:

  {curl}
"""


def run(
    host: str, port: int | None, sandbox_port: int | None, allowed_hosts: Sequence[str] = ()
) -> None:
    """Serve until interrupted; a port of None is the default one, or a free one if that is taken.

    `allowed_hosts` are additional names that the `Host` header of a request may have.

    Raises SettingsError if a setting is invalid; exits with a message if a port is taken.
    """
    with (
        _listen(host, port, DEFAULT_PORT, "--port") as listener,
        _listen(host, sandbox_port, DEFAULT_SANDBOX_PORT, "--sandbox-port") as sandbox_listener,
        tempfile.TemporaryDirectory() as folder,
    ):
        url, sandbox_url = url_of(listener.getsockname()), url_of(sandbox_listener.getsockname())
        settings = _read_settings(sandbox_url, Path(folder) / "oidc.toml")
        url += settings.path_prefix or ""
        hosts = AllowedHosts(host, listener.getsockname()[0], allowed_hosts)
        app = create_app(
            settings,
            example_headers=aws_headers(CALLERS[SHOWN_CALLERS[0]]),
            allowed_hosts=Middleware(
                AllowedHostsMiddleware,
                allowed=hosts,
                rejection=error_response(bad_request(hosts.rejection, MISDIRECTED_REQUEST)),
            ),
        )
        configure_logs(settings.log_level)
        sandbox = uvicorn.Server(
            _server_config(restrict_hosts(create_sandbox(), hosts), **SERVER_OPTIONS)
        )
        thread = threading.Thread(target=sandbox.run, args=([sandbox_listener],), name="sandbox")
        thread.start()
        try:
            _WelcomingServer(_server_config(app, http=PROTOCOL), settings, url, sandbox_url).run(
                [listener]
            )
        except KeyboardInterrupt:
            pass  # Ctrl-C is the usual end
        finally:
            sandbox.should_exit = True
            thread.join()


def aws_headers(caller: SandboxCaller) -> Mapping[str, str]:
    """Return the headers by which a caller of the sandbox authenticates to the gateway."""
    headers = {
        "X-Aws-Access-Key-Id": caller.access_key_id,
        "X-Aws-Secret-Access-Key": caller.secret_access_key,
    }
    if caller.session_token is not None:
        headers["X-Aws-Session-Token"] = caller.session_token
    return headers


def _read_settings(sandbox_url: str, oidc_file: Path) -> Settings:
    """Read the settings, with the sandbox as the default for everything that is unset."""
    defaults = {"graphiql": True, "introspection": True, "upstream_url": sandbox_url}
    settings = read_settings(**defaults)
    if settings.model_fields_set & {"callers", "oidc_file"}:
        return settings
    # Trust the sandbox's issuer, and map each of its users to the role of their account.
    roles = (OIDC_ROLE.format(name=name, role_arn=arn) for name, arn in ROLE_ARNS.items())
    oidc_file.write_text(OIDC_ISSUER.format(sandbox_url=sandbox_url) + "".join(roles))
    return read_settings(
        **defaults,
        callers={"aws-headers", "oidc"},
        oidc_file=oidc_file,
        sts_url=sandbox_url,
    )


class _WelcomingServer(uvicorn.Server):
    """Prints the welcome as soon as it serves."""

    def __init__(
        self, config: uvicorn.Config, settings: Settings, url: str, sandbox_url: str
    ) -> None:
        super().__init__(config)
        self._settings = settings
        self._url = url
        self._sandbox_url = sandbox_url

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        click.echo(_welcome(self._url, self._sandbox_url))
        if "oidc" in self._settings.callers:
            token = await asyncio.to_thread(_fetch_token, self._sandbox_url)
            curl = _curl(self._url, {"Authorization": f"Bearer {token}"})
            click.echo(WELCOME_OIDC.format(name=SHOWN_CALLERS[0], curl=curl))
        click.echo("Press Ctrl-C to stop both.\n")


def _welcome(url: str, sandbox_url: str) -> str:
    callers = "\n\n".join(
        f"  {name}: {CALLERS[name].note}\n  {json.dumps(dict(aws_headers(CALLERS[name])))}"
        for name in SHOWN_CALLERS
    )
    curl = _curl(url, aws_headers(CALLERS[SHOWN_CALLERS[0]]))
    return WELCOME.format(url=url, sandbox_url=sandbox_url, callers=callers, curl=curl)


def _curl(url: str, credentials: Mapping[str, str]) -> str:
    headers = {"Content-Type": "application/json", **credentials}
    options = " ".join(f"-H '{name}: {value}'" for name, value in headers.items())
    return f"curl -s {url}/graphql {options} -d '{json.dumps({'query': QUERY})}'"


def _fetch_token(sandbox_url: str) -> str:
    parameters = {"subject": SHOWN_CALLERS[0], "seconds": TOKEN_SECONDS}
    response: Mapping[str, str] = request_control(sandbox_url, "POST", "/tokens", parameters)
    return response["token"]


def _server_config(app: object, **options: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]  # uvicorn's own type for it is not public
        log_config=None,
        log_level="warning",
        access_log=False,
        ws="none",
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=1,
        **options,
    )


def _listen(host: str, port: int | None, default: int, option: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    wanted = default if port is None else port
    try:
        return socket.create_server((host, wanted), family=family)
    except OSError as error:
        if port is None and error.errno == errno.EADDRINUSE:
            return socket.create_server((host, 0), family=family)
        click.echo(
            f"gateway: cannot listen on {host}:{wanted}: {_reason(error)}. "
            f"Choose another address with --host or {option}.",
            err=True,
        )
        sys.exit(1)


def _reason(error: OSError) -> str:
    # create_server adds the address to the text of an error, so the number is looked up instead;
    # the numbers of getaddrinfo are not the system's.
    named = isinstance(error, socket.gaierror) or error.errno is None
    return str(error.strerror) if named else os.strerror(error.errno or 0)


def url_of(address: tuple[Any, ...]) -> str:
    """Return the URL by which this machine reaches a server that listens on a socket address."""
    host, port = address[:2]
    if ip_address(host).is_unspecified:
        host = "::1" if ":" in host else "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
