"""`gateway sandbox`: serve a sandbox, and control a running one."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from gateway.listening import addresses_of, listening, url_of
from gateway.sandbox.data.accounts import CALLERS, ROLE_ARNS
from gateway.sandbox.data.jobs import FINAL_STATUSES, JOB_STATUSES, MAX_JOB_SECONDS

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 9000
DEFAULT_PROXY_PORT = 3128
DEFAULT_URL = f"http://{DEFAULT_HOST}:{DEFAULT_PORT}"

_CONTROL_SECONDS = 10
_GRACEFUL_SECONDS = 1

_url_option = click.option(
    "--url", default=DEFAULT_URL, show_default=True, help="URL of the sandbox."
)


host_option = click.option(
    "--host",
    default=DEFAULT_HOST,
    show_default=True,
    help="Address or name to listen on; :: is every address, IPv4 included.",
)

allowed_host_option = click.option(
    "--allowed-host",
    "allowed_hosts",
    multiple=True,
    metavar="NAME",
    help="Respond to this host name too, such as that of a container; repeatable.",
)


@click.group(invoke_without_command=True)
@host_option
@click.option(
    "--port",
    default=DEFAULT_PORT,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port to listen on.",
)
@allowed_host_option
@click.option("--jobs", type=click.IntRange(0), help="Number of ada's jobs.")
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="NAME[:KEY=VALUE,...]",
    help="Start with this fault; repeatable. `gateway sandbox faults` lists them.",
)
@click.option(
    "--tls",
    "tls_folder",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Serve over TLS with a made-up authority, whose certificate is written into the folder.",
)
@click.pass_context
def sandbox(
    context: click.Context,
    *,
    host: str,
    port: int,
    allowed_hosts: Sequence[str],
    jobs: int | None,
    faults: Sequence[str],
    tls_folder: Path | None,
) -> None:
    """Emulate Clean Rooms ML locally, with generated data and public credentials."""
    if context.invoked_subcommand is not None:
        return
    _serve(host, port, allowed_hosts, jobs, faults, tls_folder)


@sandbox.command()
@click.argument("name")
@click.option("--times", type=click.IntRange(1), help="Apply to this number of calls only.")
@click.option("--operation", help="Apply to this operation only.")
@click.option("--access-key-id", help="Apply to this caller only.")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Set a parameter; repeatable."
)
@_url_option
def fault(
    *,
    name: str,
    times: int | None,
    operation: str | None,
    access_key_id: str | None,
    settings: Sequence[str],
    url: str,
) -> None:
    """Switch on a fault of a running sandbox."""
    target = {"operation": operation, "access_key_id": access_key_id, "times": times}
    body = {"fault": name, **target, **_parameters(settings)}
    _print_active(request_control(url, "POST", "/faults", body)["active"])


@sandbox.command()
@_url_option
def heal(url: str) -> None:
    """Switch off all faults of a running sandbox."""
    click.echo(f"Healed: {request_control(url, 'DELETE', '/faults')['healed']}")


@sandbox.command()
@_url_option
def faults(url: str) -> None:
    """List the faults of a running sandbox: those that are on, and all known ones."""
    response = request_control(url, "GET", "/faults")
    _print_active(response["active"])
    click.echo("Known:")
    for known in response["known"]:
        settings = ", ".join(f"{name}={value}" for name, value in known["settings"].items())
        click.echo(f"  {known['fault']:<26} {known['description']}")
        if settings:
            click.echo(f"  {'':<26} --set {settings}")


@sandbox.command()
@click.argument("subject")
@click.option("--audience", help="Audience of the token.  [default: audience-gateway]")
@click.option("--seconds", type=int, help="Lifetime of the token.  [default: 3600]")
@_url_option
def token(subject: str, audience: str | None, seconds: int | None, url: str) -> None:
    """Print an ID token for a subject: ada, grace, edith, or any other."""
    body = _given(subject=subject, audience=audience, seconds=seconds)
    click.echo(request_control(url, "POST", "/tokens", body)["token"])


@sandbox.command()
@click.option(
    "--caller",
    default="ada",
    show_default=True,
    type=click.Choice(list(CALLERS)),
    help="Start the job in the account of this caller.",
)
@click.option("--region", help="Start the job in this region.  [default: us-east-1]")
@click.option(
    "--seconds",
    type=click.IntRange(1, MAX_JOB_SECONDS),
    help="Time until the job has its final status.  [default: some minutes]",
)
@click.option(
    "--final-status", type=click.Choice(FINAL_STATUSES), help="How it ends.  [default: ACTIVE]"
)
@_url_option
def start_job(
    *, caller: str, region: str | None, seconds: int | None, final_status: str | None, url: str
) -> None:
    """Start a generation job in a running sandbox, and print its ARN."""
    body = _given(
        access_key_id=CALLERS[caller].access_key_id,
        region=region,
        seconds=seconds,
        final_status=final_status,
    )
    click.echo(request_control(url, "POST", "/jobs", body)["audienceGenerationJobArn"])


@sandbox.command()
@click.argument("arn")
@click.argument("status", type=click.Choice(JOB_STATUSES))
@_url_option
def set_job_status(*, arn: str, status: str, url: str) -> None:
    """Give a generation job of a running sandbox a status, which it then keeps."""
    body = {"audienceGenerationJobArn": arn, "status": status}
    changed = request_control(url, "POST", "/jobs/status", body)
    click.echo(f"{changed['previous_status']} -> {changed['status']}")


@sandbox.command()
@click.option(
    "--port",
    default=DEFAULT_PROXY_PORT,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port to listen on, at 127.0.0.1.",
)
@click.option(
    "--to",
    default=f"{DEFAULT_HOST}:{DEFAULT_PORT}",
    show_default=True,
    metavar="HOST:PORT",
    help="Where all tunnels lead, whatever name they are for.",
)
@click.option(
    "--refuse",
    type=click.IntRange(400, 599),
    metavar="STATUS",
    help="Refuse all tunnels with this status, such as 403 or 502.",
)
@click.option("--login", metavar="USER:PASSWORD", help="Require these credentials.")
def proxy(*, port: int, to: str, refuse: int | None, login: str | None) -> None:
    """Serve an HTTP proxy in front of a sandbox."""
    # Imported here, because it takes 60 ms, for which other commands need not wait.
    import asyncio  # noqa: PLC0415

    from gateway.sandbox.proxy import TunnelProxy  # noqa: PLC0415

    host, _, to_port = to.rpartition(":")
    if not host or not to_port.isdecimal():
        raise click.BadParameter(f"{to!r} is not HOST:PORT.", param_hint="--to")
    with listening(DEFAULT_HOST, port) as listeners:
        url = url_of(DEFAULT_HOST, listeners)
        click.echo(f"Proxy to the sandbox at {to}, running on {url}. For the gateway:")
        click.echo(f"  HTTPS_PROXY={url}")
        served = TunnelProxy((host.strip("[]"), int(to_port)), refuse, login)
        with suppress(KeyboardInterrupt):
            asyncio.run(served.serve(listeners[0]))


class ControlClientError(click.ClickException):
    """The control API cannot be reached, or returns an error."""


def request_control(url: str, method: str, path: str, body: object = None) -> dict[str, Any]:
    """Send a request to the control API of a running sandbox, and return the JSON response.

    Raises ControlClientError if there is no sandbox at this URL, or it returns an error.
    """
    # Imported here, because it takes 25 ms, for which other commands of `gateway` need not wait.
    from http.client import HTTPException  # noqa: PLC0415
    from urllib.error import HTTPError  # noqa: PLC0415
    from urllib.request import ProxyHandler, Request, build_opener  # noqa: PLC0415

    if not url.startswith(("http://", "https://")):
        raise ControlClientError(f"{url!r} is not valid. Accepted: an http:// or https:// URL.")
    request = Request(  # noqa: S310  checked above
        f"{url.rstrip('/')}/_sandbox{path}",
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
        method=method,
    )
    # A proxy of the environment could not reach a sandbox on this machine.
    opener = build_opener(ProxyHandler({}))
    try:
        with opener.open(request, timeout=_CONTROL_SECONDS) as response:
            content: dict[str, Any] = json.load(response)
    except HTTPError as error:
        with error:
            raise ControlClientError(_error_message(error.read(), error.code)) from None
    except (OSError, HTTPException, ValueError) as error:
        raise ControlClientError(f"No sandbox responds at {url}: {error}") from None
    return content


def _error_message(body: bytes, status: int) -> str:
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return f"The server returned HTTP {status}; is it a sandbox?"


def _given(**members: object) -> dict[str, object]:
    """Return the members that have a value."""
    return {name: value for name, value in members.items() if value is not None}


def _fault_body(text: str) -> dict[str, object]:
    name, _, parameters = text.partition(":")
    return {"fault": name, **_parameters(parameters.split(",") if parameters else ())}


def _parameters(texts: Sequence[str]) -> dict[str, object]:
    parameters: dict[str, object] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise click.UsageError(f"{text!r} is not of the form key=value.")
        try:
            parameters[key] = json.loads(value)
        except ValueError:
            parameters[key] = value
    return parameters


def _print_active(active: Sequence[Mapping[str, object]]) -> None:
    click.echo("On:" if active else "On: none")
    for each in active:
        shown = " ".join(f"{key}={value}" for key, value in each.items() if value is not None)
        click.echo(f"  {shown}")


def _serve(
    host: str,
    port: int,
    allowed_hosts: Sequence[str],
    jobs: int | None,
    faults: Sequence[str],
    tls_folder: Path | None,
) -> None:
    # Imported here, because it takes 250 ms, for which other commands need not wait.
    import uvicorn  # noqa: PLC0415

    from gateway.sandbox.app import create_sandbox, restrict_hosts  # noqa: PLC0415
    from gateway.sandbox.faults.registry import (  # noqa: PLC0415
        ControlRequestError,
        parse_fault_request,
    )
    from gateway.sandbox.hosts import AllowedHosts  # noqa: PLC0415
    from gateway.sandbox.protocol import SERVER_OPTIONS  # noqa: PLC0415

    try:
        active = [parse_fault_request(_fault_body(text)) for text in faults]
    except ControlRequestError as error:
        raise click.BadParameter(str(error), param_hint="--fault") from None
    app = create_sandbox(jobs=jobs, faults=active)
    with listening(host, port) as listeners:
        certificate = None
        if tls_folder is not None:
            certificate = _write_certificates(tls_folder, [host, *allowed_hosts])
        hosts = AllowedHosts(host, addresses_of(listeners), allowed_hosts)
        url = url_of(host, listeners, "http" if tls_folder is None else "https")
        _print_welcome(url, tls_folder)
        config = uvicorn.Config(
            restrict_hosts(app, hosts),
            log_level="warning",
            access_log=False,
            ws="none",
            timeout_graceful_shutdown=_GRACEFUL_SECONDS,  # faults may keep calls waiting
            ssl_certfile=certificate,
            **SERVER_OPTIONS,
        )
        uvicorn.Server(config).run(list(listeners))


def _write_certificates(folder: Path, hosts: Sequence[str]) -> Path:
    """Write the certificates for the names of this machine and others; return the server's."""
    from gateway.sandbox.certificates import write_certificates  # noqa: PLC0415

    names = dict.fromkeys(["localhost", "127.0.0.1", "::1", *hosts])
    try:
        return write_certificates(folder, names).server
    except OSError as error:
        message = f"{folder} cannot be written: {error.strerror}."
        raise click.BadParameter(message, param_hint="--tls") from None


def _print_welcome(url: str, tls_folder: Path | None) -> None:
    click.echo(f"Sandbox of Clean Rooms ML at {url} (control: /_sandbox/)")
    if tls_folder is not None:
        click.echo("A made-up authority has issued its certificate. To trust it, set for the")
        click.echo("gateway, and for `gateway sandbox` commands with --url:")
        click.echo(f"  SSL_CERT_FILE={tls_folder.resolve() / 'authority.pem'}")
    click.echo("Callers, whose credentials are public and valid for sandboxes only:")
    for caller in CALLERS.values():
        click.echo(f"  {caller.name:<10} {caller.note}")
        click.echo(f"    AWS_ACCESS_KEY_ID={caller.access_key_id}")
        click.echo(f"    AWS_SECRET_ACCESS_KEY={caller.secret_access_key}")
        if caller.session_token is not None:
            click.echo(f"    AWS_SESSION_TOKEN={caller.session_token}")
    click.echo(f"STS at {url}, OIDC issuer at {url}/oidc with these users and roles;")
    click.echo(f"`gateway sandbox token NAME --url {url}` prints a token:")
    for name, role_arn in ROLE_ARNS.items():
        click.echo(f"  {name:<10} {role_arn}")
