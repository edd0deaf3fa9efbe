"""`gateway dev`: the gateway with GraphiQL in front of a sandbox, in one process."""

import asyncio
import json
import shlex
import socket
import sys
import tempfile
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import click
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware

from gateway.app import create_app
from gateway.environment import read_settings
from gateway.http.graphiql import HeaderSet, SandboxContent
from gateway.http.responses import EVENT_STREAM, bad_request, error_response
from gateway.listening import (
    CannotListenError,
    addresses_of,
    authority,
    listening,
    port_of,
    url_of,
)
from gateway.sandbox import CALLERS, COLLABORATION_ID, ROLE_ARNS, SandboxCaller, create_sandbox
from gateway.sandbox.app import restrict_hosts
from gateway.sandbox.cli import request_control
from gateway.sandbox.hosts import MISDIRECTED_REQUEST, AllowedHosts, AllowedHostsMiddleware
from gateway.sandbox.protocol import SERVER_OPTIONS
from gateway.server.lifecycle import DrainingServer, ServerConfig
from gateway.settings import Settings
from gateway.telemetry.logging import configure_logs

DEFAULT_PORT = 8000
DEFAULT_SANDBOX_PORT = 9000

TOKEN_SECONDS = 8 * 3600

SHOWN_CALLERS = ("ada", "grace", "edith")

QUERY = "{ audienceGenerationJobs(first: 3) { nodes { name status } pageInfo { endCursor } } }"

WATCH = 'subscription { audienceGenerationJob(audienceGenerationJobArn: "{ARN}") { name status } }'

WATCHED_SECONDS = 30
"""How long the job takes that the welcome starts and watches."""

LOOPBACK = {"127.0.0.1", "::1"}
"""The addresses of a sandbox whose issuer the gateway accepts at http://."""

STOP_SECONDS = 1

NO_CACHE = {"Cache-Control": "no-cache"}

OIDC_ISSUER = """\
[[issuer]]
issuer = "{url}/oidc"
audiences = ["audience-gateway"]
"""

OIDC_ROLE = """\
[[issuer.role]]
match = {{ sub = "{name}" }}
role_arn = "{role_arn}"
"""

WELCOME = """
Audience Gateway is running. Open

  {url}
{elsewhere}
The sandbox at {sandbox_url} stands in for AWS. Its callers and their headers:

{callers}

Send a query from another terminal:

  {curl}

Start a job that takes {watched_seconds} seconds, and watch it until it is done. GraphiQL shows it
too, within about 20 seconds, while its tab JobChanges runs:

  {watch}

Simulate throttling by AWS, then send the query again:

  {program} sandbox fault throttle --url {sandbox_url}

End it:

  {program} sandbox heal --url {sandbox_url}
"""

ELSEWHERE = """
It listens on all addresses. From other machines, open {urls};
from outside its container, localhost at the published port.
Other host names need --allowed-host NAME.
"""

WELCOME_OIDC = """\
Send the query as {name} with a token of the sandbox's OIDC issuer instead:

  {curl}
"""


def run(
    host: str, port: int | None, sandbox_port: int | None, allowed_hosts: Sequence[str] = ()
) -> None:
    """Serve until interrupted; a port of None is the default one, or a free one if that is taken.

    `allowed_hosts` are additional names that the `Host` header of a request may have.

    Raises SettingsError if a setting is invalid, and CannotListenError.
    """
    with ExitStack() as stack:
        listeners = stack.enter_context(_listening(host, port, DEFAULT_PORT, "--port"))
        sandbox_listeners = stack.enter_context(
            _listening(host, sandbox_port, DEFAULT_SANDBOX_PORT, "--sandbox-port")
        )
        sandbox_listeners, sandbox_url = stack.enter_context(_with_loopback(sandbox_listeners))
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        settings = _read_settings(sandbox_url, Path(folder) / "oidc.toml")
        admin_listeners = stack.enter_context(
            listening(host, settings.admin_port, "GATEWAY_ADMIN_PORT")
        )
        hosts = AllowedHosts(host, addresses_of(listeners), allowed_hosts)
        app = create_app(
            settings,
            sandbox=sandbox_content(settings.callers),
            allowed_hosts=Middleware(
                AllowedHostsMiddleware,
                allowed=hosts,
                rejection=error_response(bad_request(hosts.rejection, MISDIRECTED_REQUEST)),
            ),
        )
        configure_logs(settings.log_level, console=sys.stdout.isatty())
        stack.enter_context(_serving(create_sandbox(), sandbox_listeners, hosts))
        path = f"{settings.path_prefix or ''}/graphql"
        welcome = Welcome(
            url_of(host, listeners) + path,
            [url + path for url in _urls_elsewhere(listeners)],
            sandbox_url,
            settings.region,
            has_oidc="oidc" in settings.callers,
        )
        config = ServerConfig(
            app, admin_sockets=admin_listeners, stop_seconds=STOP_SECONDS, log_level="warning"
        )
        with suppress(KeyboardInterrupt):  # Ctrl-C is the usual end
            _WelcomingServer(config, welcome).run(list(listeners))


def sandbox_content(schemes: Collection[str] = ("aws-headers",)) -> SandboxContent:
    """Return what GraphiQL shows of the sandbox, where these authentication schemes are served.

    Its callers are those of the welcome, if they can authenticate.
    """
    callers = [CALLERS[name] for name in SHOWN_CALLERS if "aws-headers" in schemes]
    return SandboxContent(
        [HeaderSet(each.name, each.note, aws_headers(each)) for each in callers],
        COLLABORATION_ID,
    )


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
    defaults = {
        "graphiql": True,
        "introspection": True,
        "upstream_url": sandbox_url,
        "drain_seconds": 0,
    }
    settings = read_settings(**defaults)
    if settings.model_fields_set & {"callers", "oidc_file"}:
        return settings
    # Trust the sandbox's issuer, whose name is the host by which it is asked for a token, and map
    # each of its users to the role of their account.
    roles = [OIDC_ROLE.format(name=name, role_arn=arn) for name, arn in ROLE_ARNS.items()]
    urls = sandbox_url, f"http://localhost:{sandbox_url.rpartition(':')[2]}"
    oidc_file.write_text("".join(OIDC_ISSUER.format(url=url) + "".join(roles) for url in urls))
    return read_settings(
        **defaults,
        callers={"aws-headers", "oidc"},
        oidc_file=oidc_file,
        sts_url=sandbox_url,
    )


@contextmanager
def _listening(
    host: str, port: int | None, default: int, option: str
) -> Iterator[Sequence[socket.socket]]:
    """As `listening`; a port of None is the default one, or a free one if that is taken."""
    with ExitStack() as stack:
        try:
            wanted = default if port is None else port
            listeners = stack.enter_context(listening(host, wanted, option))
        except CannotListenError as error:
            if port is not None or not error.in_use:
                raise
            listeners = stack.enter_context(listening(host, 0, option))
        yield listeners


@contextmanager
def _with_loopback(
    listeners: Sequence[socket.socket],
) -> Iterator[tuple[Sequence[socket.socket], str]]:
    """Listen on a loopback address as well; yield all listeners, and the URL of that address.

    The gateway reaches the sandbox there, wherever else it listens.
    """
    port = port_of(listeners)
    for address in addresses_of(listeners):
        host = "127.0.0.1" if address.is_unspecified else str(address)
        if host in LOOPBACK:
            yield listeners, f"http://{authority(host, port)}"
            return
    with _listening("127.0.0.1", None, port, "--sandbox-port") as loopback:
        yield [*listeners, *loopback], url_of("127.0.0.1", loopback)


@contextmanager
def _serving(
    sandbox: Starlette, listeners: Sequence[socket.socket], hosts: AllowedHosts
) -> Iterator[None]:
    """Serve a sandbox from a thread until the end of the block."""
    server = uvicorn.Server(
        uvicorn.Config(
            restrict_hosts(sandbox, hosts),
            log_config=None,
            log_level="warning",
            access_log=False,
            ws="none",
            timeout_graceful_shutdown=STOP_SECONDS,
            **SERVER_OPTIONS,
        )
    )
    thread = threading.Thread(target=server.run, args=(list(listeners),), name="sandbox")
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()


@dataclass(frozen=True)
class Welcome:
    """What is printed once the gateway serves."""

    url: str
    other_urls: Sequence[str]
    """Of the same endpoint, for other machines."""
    sandbox_url: str
    region: str
    has_oidc: bool

    def text(self) -> str:
        callers = "\n\n".join(
            f"  {name}: {CALLERS[name].note}\n  {json.dumps(dict(aws_headers(CALLERS[name])))}"
            for name in SHOWN_CALLERS
        )
        elsewhere = ELSEWHERE.format(urls=" or ".join(self.other_urls)) if self.other_urls else ""
        return WELCOME.format(
            url=self.url,
            elsewhere=elsewhere,
            sandbox_url=self.sandbox_url,
            callers=callers,
            curl=self._curl(aws_headers(CALLERS[SHOWN_CALLERS[0]])),
            watch=self._watch(SHOWN_CALLERS[0]),
            watched_seconds=WATCHED_SECONDS,
            program=_program(),
        )

    def oidc_text(self) -> str:
        """Return the part about tokens, with one that the sandbox issues."""
        parameters = {"subject": SHOWN_CALLERS[0], "seconds": TOKEN_SECONDS}
        response = request_control(self.sandbox_url, "POST", "/tokens", parameters)
        curl = self._curl({"Authorization": f"Bearer {response['token']}"})
        return WELCOME_OIDC.format(name=SHOWN_CALLERS[0], curl=curl)

    def _curl(self, credentials: Mapping[str, str]) -> str:
        return self._command("-s", {**NO_CACHE, **credentials}, QUERY)

    def _watch(self, caller: str) -> str:
        """Return a command in whose query the shell replaces the ARN by that of a new job."""
        start = (
            f"{_program()} sandbox start-job --caller {caller} --region {self.region} "
            f"--seconds {WATCHED_SECONDS} --url {self.sandbox_url}"
        )
        headers = {"Accept": EVENT_STREAM, **aws_headers(CALLERS[caller])}
        return self._command("-sN", headers, WATCH).replace("{ARN}", f"'$({start})'")

    def _command(self, options: str, headers: Mapping[str, str], query: str) -> str:
        headers = {"Content-Type": "application/json", **headers}
        header_options = " ".join(f"-H '{name}: {value}'" for name, value in headers.items())
        return f"curl {options} {self.url} {header_options} -d '{json.dumps({'query': query})}'"


class _WelcomingServer(DrainingServer):
    """Prints the welcome as soon as it serves."""

    def __init__(self, config: ServerConfig, welcome: Welcome) -> None:
        super().__init__(config)
        self._welcome = welcome

    async def announce(self, sockets: Sequence[socket.socket]) -> None:  # noqa: ARG002
        click.echo(self._welcome.text())
        if self._welcome.has_oidc:
            click.echo(await asyncio.to_thread(self._welcome.oidc_text))
        click.echo("Press Ctrl-C to stop both.\n")


def _program() -> str:
    """Return the command that has started this process, to paste into a shell."""
    script = sys.argv[0]
    is_module = Path(script).name == "__main__.py"
    return shlex.join([sys.executable, "-m", "gateway"] if is_module else [script])


def _urls_elsewhere(listeners: Sequence[socket.socket]) -> list[str]:
    """Return URLs for other machines of a server that listens on all addresses."""
    families = {
        listener.family
        for listener, address in zip(listeners, addresses_of(listeners), strict=True)
        if address.is_unspecified
    }
    if socket.AF_INET6 in families:
        families.add(socket.AF_INET)
    hosts = filter(None, map(_own_address, sorted(families)))
    return [f"http://{authority(host, port_of(listeners))}" for host in hosts]


def _own_address(family: int) -> str | None:
    """Return the address that this machine has for others; None if it has no route to any."""
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            # This sends nothing. The addresses are reserved for documentation.
            probe.connect(("2001:db8::1" if family == socket.AF_INET6 else "192.0.2.1", 9))
        except OSError:
            return None
        address: str = probe.getsockname()[0]
    return None if ip_address(address).is_loopback else address
