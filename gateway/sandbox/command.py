"""The command line: serve a sandbox, switch its faults, and have it make ID tokens."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 9000
DEFAULT_URL = f"http://{DEFAULT_HOST}:{DEFAULT_PORT}"

_url_option = click.option("--url", default=DEFAULT_URL, show_default=True, help="The sandbox.")


@click.group(invoke_without_command=True)
@click.option("--host", default=DEFAULT_HOST, show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    default=DEFAULT_PORT,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port to listen on.",
)
@click.option("--jobs", type=click.IntRange(0), help="Length of the longest list of jobs.")
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="NAME[:KEY=VALUE,...]",
    help="Begin with this fault; may be repeated. `gateway sandbox faults` lists them.",
)
@click.pass_context
def sandbox(
    context: click.Context, host: str, port: int, jobs: int | None, faults: Sequence[str]
) -> None:
    """Emulate Clean Rooms ML on this machine, with invented data and public keys."""
    if context.invoked_subcommand is not None:
        return
    # Imported late: the server costs a quarter of a second that no other command should pay.
    from gateway.sandbox.orders import OrderError  # noqa: PLC0415 - see above
    from gateway.sandbox.serving import serve_sandbox  # noqa: PLC0415 - see above

    try:
        serve_sandbox(host, port, jobs, [_order(text) for text in faults])
    except OrderError as error:
        raise click.BadParameter(str(error), param_hint="--fault") from None


@sandbox.command()
@click.argument("name")
@click.option("--times", type=click.IntRange(1), help="Strike so many calls only.")
@click.option("--operation", help="Strike this operation only.")
@click.option("--access-key-id", help="Strike this caller only.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="May be repeated.")
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
    """Switch a fault of a running sandbox on."""
    limits = {"operation": operation, "access_key_id": access_key_id, "times": times}
    order = {"fault": name, **limits, **_pairs(settings)}
    _show_active(_ask(url, "POST", "/faults", order)["active"])


@sandbox.command()
@_url_option
def heal(url: str) -> None:
    """Switch all faults of a running sandbox off."""
    click.echo(f"Healed: {_ask(url, 'DELETE', '/faults')['healed']}")


@sandbox.command()
@_url_option
def faults(url: str) -> None:
    """List the faults of a running sandbox: those that are on, and all it knows."""
    answer = _ask(url, "GET", "/faults")
    _show_active(answer["active"])
    click.echo("Known:")
    for known in answer["known"]:
        settings = ", ".join(f"{name}={value}" for name, value in known["settings"].items())
        click.echo(f"  {known['fault']:<26} {known['description']}")
        if settings:
            click.echo(f"  {'':<26} --set {settings}")


@sandbox.command()
@click.argument("subject")
@click.option("--audience", help="Whom the token is for.  [default: audience-gateway]")
@click.option("--seconds", type=int, help="How long it is good for.  [default: 3600]")
@_url_option
def token(subject: str, audience: str | None, seconds: int | None, url: str) -> None:
    """Print an ID token for somebody: ada, grace, edith, or anybody else."""
    order = {"subject": subject, "audience": audience, "seconds": seconds}
    given = {name: value for name, value in order.items() if value is not None}
    click.echo(_ask(url, "POST", "/tokens", given)["token"])


def _ask(url: str, method: str, path: str, order: object = None) -> dict[str, Any]:
    from gateway.sandbox.remote import RemoteError, ask_control  # noqa: PLC0415 - as above

    try:
        return ask_control(url, method, path, order)
    except RemoteError as error:
        raise click.ClickException(str(error)) from None


def _order(text: str) -> dict[str, object]:
    name, _, settings = text.partition(":")
    return {"fault": name, **_pairs(settings.split(",") if settings else ())}


def _pairs(texts: Sequence[str]) -> dict[str, object]:
    pairs: dict[str, object] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise click.UsageError(f"{text!r} is not of the form key=value.")
        pairs[key] = _value(value)
    return pairs


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _show_active(active: Sequence[Mapping[str, object]]) -> None:
    click.echo("On:" if active else "On: none")
    for order in active:
        shown = " ".join(f"{key}={value}" for key, value in order.items() if value is not None)
        click.echo(f"  {shown}")
