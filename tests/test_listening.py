"""A server listens on every address of its host, or one line says why it cannot."""

import errno
import socket
from pathlib import Path

import pytest

from gateway.listening import (
    CannotListenError,
    addresses_of,
    listening,
    port_of,
    unix_listening,
    url_of,
)

IPV4, IPV6 = "127.0.0.1", "::1"


def accepts(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=60).close()
    except ConnectionRefusedError:
        return False
    return True


def connects(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


@pytest.mark.parametrize(
    ("host", "accepting", "refusing", "url"),
    [
        ("127.0.0.1", {IPV4}, {IPV6}, "http://127.0.0.1"),
        ("127.0.0.5", {"127.0.0.5"}, {IPV4, IPV6}, "http://127.0.0.5"),
        ("::1", {IPV6}, {IPV4}, "http://[::1]"),
        ("0.0.0.0", {IPV4, "127.0.0.5"}, {IPV6}, "http://localhost"),  # noqa: S104  of a test
        ("::", {IPV4, "127.0.0.5", IPV6}, set(), "http://localhost"),
    ],
)
def test_each_address_of_a_host_accepts_connections(
    host: str, accepting: set[str], refusing: set[str], url: str
) -> None:
    with listening(host, 0) as listeners:
        port = port_of(listeners)
        assert {address for address in accepting | refusing if accepts(address, port)} == accepting
        assert url_of(host, listeners) == f"{url}:{port}"


def test_a_name_has_one_port_on_all_of_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address of a family that the machine lacks is left out."""
    resolved = [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (IPV6, 0, 0, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (IPV4, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("203.0.113.9", 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (IPV4, 0)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: resolved)
    with listening("both", 0) as listeners:
        assert [str(address) for address in addresses_of(listeners)] == [IPV6, IPV4]
        assert accepts(IPV6, port_of(listeners))
        assert accepts(IPV4, port_of(listeners))
        assert url_of("both", listeners) == f"http://both:{port_of(listeners)}"


def test_all_addresses_are_those_of_ipv4_without_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    with listening("::", 0) as listeners:
        assert accepts(IPV4, port_of(listeners))
        assert not accepts(IPV6, port_of(listeners))


def test_many_connections_may_wait_to_be_accepted() -> None:
    """As many as with uvicorn's own sockets, as far as the kernel allows."""
    wanted = min(300, int(Path("/proc/sys/net/core/somaxconn").read_text(encoding="ascii")))
    clients = []
    with listening(IPV4, 0) as listeners:
        for _ in range(wanted):
            client = socket.socket()
            client.settimeout(60)
            clients.append(client)
            client.connect((IPV4, port_of(listeners)))
        for client in clients:
            client.close()


@pytest.mark.parametrize("host", ["nowhere.invalid", "203.0.113.9", "a..b", "x" * 300, ""])
def test_a_host_that_is_not_this_machine_is_explained_in_one_line(host: str) -> None:
    with pytest.raises(CannotListenError) as error, listening(host, 8123, "--this-port"):
        pass

    assert error.value.message.startswith(f"cannot listen on {host}:8123: ")
    assert error.value.message.endswith(". Choose another address with --host or --this-port.")
    assert "\n" not in error.value.message
    assert (error.value.exit_code, error.value.in_use) == (1, False)


def test_a_port_that_is_taken_or_forbidden_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening("::", 0) as taken:
        for host in (IPV4, IPV6, "0.0.0.0", "::"):  # noqa: S104  of a test
            with pytest.raises(CannotListenError, match="Address already in use") as error:
                listening(host, port_of(taken)).__enter__()
            assert error.value.in_use

    def forbid(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied (while attempting to bind ...)")

    monkeypatch.setattr(socket, "create_server", forbid)
    with pytest.raises(CannotListenError, match=r":80: Permission denied\. Choose"):
        listening(IPV4, 80).__enter__()


def test_sockets_are_closed_if_one_address_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(IPV4, 0) as taken:
        port = port_of(taken)
        resolved = [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (IPV6, port, 0, 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (IPV4, port)),
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: resolved)
        with pytest.raises(CannotListenError):
            listening("both", port).__enter__()
        monkeypatch.undo()
        assert not accepts(IPV6, port)


def test_a_listening_process_keeps_its_file(tmp_path: Path) -> None:
    path = tmp_path / "gateway.sock"
    with unix_listening(path):
        with pytest.raises(CannotListenError, match="Address already in use") as error:
            unix_listening(path).__enter__()
        assert error.value.in_use
        assert connects(path)
    assert not path.exists()


def test_a_file_of_a_later_process_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "gateway.sock"
    with unix_listening(path) as [first]:
        first.close()
        later = unix_listening(path)
        later.__enter__()
    assert connects(path)
    later.__exit__(None, None, None)
    assert not path.exists()


@pytest.mark.parametrize("kind", ["file", "folder", "missing", "long"])
def test_a_path_where_no_socket_can_be_is_left_alone(tmp_path: Path, kind: str) -> None:
    paths = {"missing": tmp_path / "no" / "gateway.sock", "long": tmp_path / ("x" * 120)}
    path = paths.get(kind, tmp_path / "gateway.sock")
    if kind == "folder":
        path.mkdir()
    elif kind == "file":
        path.write_text("data", encoding="ascii")
    before = [*tmp_path.iterdir()]
    with pytest.raises(CannotListenError) as error:
        unix_listening(path).__enter__()
    assert error.value.message.startswith(f"cannot listen on {path}: ")
    assert error.value.message.endswith(". Choose another path with --uds.")
    assert [*tmp_path.iterdir()] == before
