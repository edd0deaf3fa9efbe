"""The command line: gateway serve | check | dev | sandbox | schema."""

import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click
from click.core import ParameterSource

from gateway import __version__
from gateway.environment import read_settings
from gateway.listening import listening, unix_listening
from gateway.sandbox.cli import allowed_host_option, host_option, sandbox
from gateway.settings import SettingsError

# Each command imports its modules when it runs, so that the others start without them.


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="gateway")
def main() -> None:
    """Serve AWS Clean Rooms ML as a GraphQL API."""


main.add_command(sandbox)

PORT = click.IntRange(0, 65535)


@main.command()
@host_option
@click.option("--port", default=8000, show_default=True, type=PORT, help="Port to listen on.")
@click.option(
    "--uds",
    type=click.Path(path_type=Path),
    help="Unix socket to listen on instead, for a proxy on this machine. The owner and the group "
    "of the process may connect (mode 0660).",
)
@click.option(
    "--workers",
    default=1,
    show_default=True,
    type=click.IntRange(1, 64),
    help="Number of processes, each with a memory cache of its own.",
)
@click.pass_context
def serve(context: click.Context, *, host: str, port: int, uds: Path | None, workers: int) -> None:
    """Serve the gateway, configured by GATEWAY_* variables; docs/reference.md lists them.

    SIGTERM drains it. SIGHUP reloads the files that the settings name.
    """
    if uds and any(_is_given(context, name) for name in ("host", "port")):
        raise click.UsageError(
            "--uds excludes --host and --port. Accepted: --uds, or --host and --port."
        )
    # By default it would end the process. It waits until the server can handle it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})

    from gateway.app import create_app  # noqa: PLC0415
    from gateway.server.lifecycle import serve as serve_app  # noqa: PLC0415
    from gateway.telemetry.logging import configure_logs  # noqa: PLC0415

    with settings_errors_reported():
        settings = read_settings()
        app = create_app(settings)
    with ExitStack() as stack:
        main_listening = unix_listening(uds) if uds else listening(host, port)
        sockets = stack.enter_context(main_listening)
        admin_sockets = stack.enter_context(
            listening(host, settings.admin_port, "GATEWAY_ADMIN_PORT")
        )
        configure_logs(settings.log_level)
        app_or_factory = app if workers == 1 else "gateway.app:from_environment"
        serve_app(app_or_factory, sockets, admin_sockets=admin_sockets, workers=workers)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option(
    "--token-file",
    type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path),
    help="File with a JWT to verify, exchange at STS and use for a list call.",
)
def check(token_file: Path | None, *, as_json: bool) -> None:
    """Check the settings of `serve` and everything the gateway depends on.

    AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, if set, are used for one list
    call in each region. Only this command reads them; the gateway itself never does.

    Exits with 0 if everything works (warnings included), 1 if something fails, 2 if the settings
    are invalid.
    """
    from gateway.doctor.report import run  # noqa: PLC0415

    sys.exit(run(token_file, as_json=as_json))


@main.command()
@host_option
@click.option("--port", type=PORT, help="Port to listen on.  [default: 8000, or a free one]")
@click.option(
    "--sandbox-port", type=PORT, help="Port of the sandbox.  [default: 9000, or a free one]"
)
@allowed_host_option
def dev(
    host: str, port: int | None, sandbox_port: int | None, allowed_hosts: tuple[str, ...]
) -> None:
    """Serve the gateway with GraphiQL in front of a sandbox, for development."""
    from gateway.dev import run  # noqa: PLC0415

    with settings_errors_reported():
        run(host, port, sandbox_port, allowed_hosts)


@main.command()
@click.option("--client", is_flag=True, help="Leave out what federation adds.")
def schema(*, client: bool) -> None:
    """Print the schema in SDL, as a federation subgraph, with the root fields of the settings."""
    from gateway.graph.schema import client_sdl, subgraph_sdl  # noqa: PLC0415

    with settings_errors_reported():
        root_node = read_settings().root_node
    to_sdl = client_sdl if client else subgraph_sdl
    click.echo(to_sdl(root_node=root_node), nl=False)


def _is_given(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is not ParameterSource.DEFAULT


@contextmanager
def settings_errors_reported() -> Iterator[None]:
    """Exit with 2 and a message if the block raises SettingsError."""
    try:
        yield
    except SettingsError as error:
        click.echo(f"gateway: {error}", err=True)
        sys.exit(2)
