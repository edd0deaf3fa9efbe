"""A sandbox served by uvicorn, for the command line."""

import socket
from collections.abc import Iterable, Mapping

import click
import uvicorn

from gateway.sandbox.application import create_sandbox
from gateway.sandbox.callers import CALLERS
from gateway.sandbox.id_tokens import ISSUER_PATH
from gateway.sandbox.orders import read_order
from gateway.sandbox.people import ROLE_ARNS

_GRACEFUL_SECONDS = 1


def serve_sandbox(
    host: str, port: int, jobs: int | None, orders: Iterable[Mapping[str, object]]
) -> None:
    """Serve until interrupted, beginning with these faults."""
    app = create_sandbox(jobs=jobs, outbreaks=[read_order(order) for order in orders])
    with _listen(host, port) as listener:
        _greet(host, listener.getsockname()[1])
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            ws="none",
            timeout_graceful_shutdown=_GRACEFUL_SECONDS,  # what hangs on purpose does not hold it
        )
        uvicorn.Server(config).run([listener])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise click.ClickException(
            f"Cannot listen on {host}:{port}: {error.strerror}. Choose others by --host and --port."
        ) from None


def _greet(host: str, port: int) -> None:
    shown = f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{port}"
    click.echo(f"Sandbox of Clean Rooms ML at {url} (control: /_sandbox/)")
    click.echo("Callers, whose keys are public and open nothing but sandboxes:")
    for caller in CALLERS.values():
        click.echo(f"  {caller.name:<10} {caller.note}")
        click.echo(f"    AWS_ACCESS_KEY_ID={caller.access_key_id}")
        click.echo(f"    AWS_SECRET_ACCESS_KEY={caller.secret_access_key}")
        if caller.session_token is not None:
            click.echo(f"    AWS_SESSION_TOKEN={caller.session_token}")
    click.echo(f"STS at {url}, OIDC issuer at {url}{ISSUER_PATH}; roles of the people it knows,")
    click.echo(f"whose tokens `gateway sandbox token NAME --url {url}` prints:")
    for name, role_arn in ROLE_ARNS.items():
        click.echo(f"  {name:<10} {role_arn}")
