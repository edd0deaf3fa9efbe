"""`gateway sandbox`: serve a sandbox, and control a running one."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click

from gateway.sandbox.data.accounts import CALLERS, ROLE_ARNS
from gateway.sandbox.listening import addresses_of, listening, url_of

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 9000
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
@click.pass_context
def sandbox(
    context: click.Context,
    *,
    host: str,
    port: int,
    allowed_hosts: Sequence[str],
    jobs: int | None,
    faults: Sequence[str],
) -> None:
    """Emulate Clean Rooms ML locally, with generated data and public credentials."""
    if context.invoked_subcommand is not None:
        return
    _serve(host, port, allowed_hosts, jobs, faults)


@sandbox.command()
@click.argument("name")
@click.option("--times", type=click.IntRange(1), help="Apply to this number of calls only.")
@click.option("--operation", help="Apply to this operation only.")
@click.option("--access-key-id", help="Apply to this caller only.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Repeatable.")
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
    body = {"subject": subject, "audience": audience, "seconds": seconds}
    body = {name: value for name, value in body.items() if value is not None}
    click.echo(request_control(url, "POST", "/tokens", body)["token"])


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
        hosts = AllowedHosts(host, addresses_of(listeners), allowed_hosts)
        _print_welcome(url_of(host, listeners))
        config = uvicorn.Config(
            restrict_hosts(app, hosts),
            log_level="warning",
            access_log=False,
            ws="none",
            timeout_graceful_shutdown=_GRACEFUL_SECONDS,  # faults may keep calls waiting
            **SERVER_OPTIONS,
        )
        uvicorn.Server(config).run(list(listeners))


def _print_welcome(url: str) -> None:
    click.echo(f"Sandbox of Clean Rooms ML at {url} (control: /_sandbox/)")
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
