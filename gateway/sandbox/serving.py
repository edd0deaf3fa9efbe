"""A sandbox served by uvicorn, for the command line."""

from collections.abc import Iterable, Mapping

import click
import uvicorn

from gateway.sandbox.application import create_sandbox
from gateway.sandbox.callers import CALLERS
from gateway.sandbox.orders import read_order

_GRACEFUL_SECONDS = 1


def serve_sandbox(
    host: str, port: int, jobs: int | None, orders: Iterable[Mapping[str, object]]
) -> None:
    """Serve until interrupted, beginning with these faults."""
    app = create_sandbox(jobs=jobs, outbreaks=[read_order(order) for order in orders])
    _greet(host, port)
    uvicorn.run(
        app,
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        ws="none",
        timeout_graceful_shutdown=_GRACEFUL_SECONDS,  # calls that hang on purpose do not hold it
    )


def _greet(host: str, port: int) -> None:
    shown = f"[{host}]" if ":" in host else host
    click.echo(f"Sandbox of Clean Rooms ML at http://{shown}:{port} (control: /_sandbox/)")
    click.echo("Callers, whose keys are public and open nothing but sandboxes:")
    for caller in CALLERS.values():
        click.echo(f"  {caller.name:<10} {caller.note}")
        click.echo(f"    AWS_ACCESS_KEY_ID={caller.access_key_id}")
        click.echo(f"    AWS_SECRET_ACCESS_KEY={caller.secret_access_key}")
        if caller.session_token is not None:
            click.echo(f"    AWS_SESSION_TOKEN={caller.session_token}")
