"""The command line: gateway serve | check | dev | sandbox | schema."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from gateway import __version__
from gateway.sandbox.command import sandbox
from gateway.settings import SettingsError, read_settings


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="gateway")
def main() -> None:
    """Serve AWS Clean Rooms ML as a GraphQL API."""


main.add_command(sandbox)

host_option = click.option(
    "--host", default="127.0.0.1", show_default=True, help="The address to listen on."
)
port_option = click.option(
    "--port",
    default=8000,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="The port to listen on.",
)


@main.command()
@host_option
@port_option
@click.option(
    "--workers",
    default=1,
    show_default=True,
    type=click.IntRange(1, 64),
    help="How many processes serve. Each has its own memory cache.",
)
def serve(host: str, port: int, workers: int) -> None:
    """Serve the gateway. Settings are GATEWAY_* variables; README lists them."""
    # The other commands start without these.
    from gateway.app import create_app  # noqa: PLC0415
    from gateway.server.lifecycle import serve as serve_app  # noqa: PLC0415
    from gateway.telemetry.logging import configure_logs  # noqa: PLC0415

    with settings_explained():
        settings = read_settings()
        app = create_app(settings)
    configure_logs(settings.log_level)
    serve_app(app if workers == 1 else "gateway.app:from_environment", host, port, workers)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option(
    "--token-file",
    type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path),
    help="A file with a JWT to try, all the way to a call.",
)
def check(token_file: Path | None, *, as_json: bool) -> None:
    """Try what the gateway depends on, with the settings of `serve`, and serve nothing.

    AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, if set, are used for one list
    call in each region. This command alone reads them: the gateway itself never does.

    Ends with 0 if all works (warnings count as that), 1 if something does not, 2 if the settings
    are wrong.
    """
    from gateway.doctor.command import run  # noqa: PLC0415  the other commands start without it

    sys.exit(run(token_file, as_json=as_json))


@main.command()
@host_option
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="The port to listen on.  [default: 8000, or a free one if that is taken]",
)
@click.option(
    "--sandbox-port",
    type=click.IntRange(0, 65535),
    help="The port that the sandbox listens on.  [default: 9000, or a free one]",
)
def dev(host: str, port: int | None, sandbox_port: int | None) -> None:
    """Serve the gateway over a sandbox of its own, with GraphiQL: to try and to develop."""
    from gateway.dev import run  # noqa: PLC0415  the other commands start without it

    run(host, port, sandbox_port)


@main.command()
@click.option("--client", is_flag=True, help="Without what federation adds.")
def schema(*, client: bool) -> None:
    """Print the schema, as a subgraph of a federation."""
    # The other commands start without it.
    from gateway.graph.schema import client_sdl, subgraph_sdl  # noqa: PLC0415

    click.echo(client_sdl() if client else subgraph_sdl(), nl=False)


@contextmanager
def settings_explained() -> Iterator[None]:
    """End the program with a message where a setting inside is not as it must be."""
    try:
        yield
    except SettingsError as error:
        click.echo(f"gateway: {error}", err=True)
        sys.exit(2)
