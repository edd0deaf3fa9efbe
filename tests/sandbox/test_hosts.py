"""A sandbox on a developer's machine responds to the host names of that machine."""

import socket
from ipaddress import ip_address

import pytest

from gateway.sandbox import create_sandbox
from gateway.sandbox.app import restrict_hosts
from gateway.sandbox.hosts import AllowedHosts
from tests.sandbox.wire import send
from tests.serving import serve

LOCAL = AllowedHosts("127.0.0.1", [ip_address("127.0.0.1")])
EVERYWHERE = [AllowedHosts(host, [ip_address(host)]) for host in ("0.0.0.0", "::")]  # noqa: S104  not bound

OWN = ["localhost", "LocalHost:9000", "127.0.0.1", "127.0.0.1:9000", "127.9.9.9:80", "[::1]:9000"]
FOREIGN = [
    "evil.example",
    "evil.example:9000",
    "127.0.0.1.evil.example:9000",
    "localhost.evil.example",
    "evil.example@127.0.0.1",
    "127.0.0.1:9000:9000",
    "127.0.0.1:x",
    "127.0.0.1,evil.example",
    " 127.0.0.1",
    "[::1",
    "::1",
    "[]",
    "",
]
ADDRESSES = ["192.0.2.1:9000", "0.0.0.0:9000", "[2001:db8::1]:9000"]


@pytest.mark.parametrize("hosts", [LOCAL, *EVERYWHERE])
@pytest.mark.parametrize("header", OWN)
def test_names_of_the_machine_itself_are_accepted(hosts: AllowedHosts, header: str) -> None:
    assert header in hosts


@pytest.mark.parametrize("hosts", [LOCAL, *EVERYWHERE])
@pytest.mark.parametrize("header", FOREIGN)
def test_other_names_are_not(hosts: AllowedHosts, header: str) -> None:
    """Any page can make a name of its own resolve to this machine."""
    assert header not in hosts


@pytest.mark.parametrize("header", [*ADDRESSES, socket.gethostname()])
def test_a_server_on_all_addresses_accepts_each_address_and_the_name_of_the_machine(
    header: str,
) -> None:
    """Nobody else can have a page there."""
    assert all(header in hosts for hosts in EVERYWHERE)
    assert header not in LOCAL


def test_the_host_of_the_server_its_address_and_given_names_are_accepted() -> None:
    hosts = AllowedHosts(
        "build.example", map(ip_address, ("192.0.2.7", "2001:db8::7")), ["Sandbox"]
    )

    assert all(
        name in hosts
        for name in ("build.example:9000", "192.0.2.7", "[2001:db8::7]:9000", "sandbox:9000")
    )
    assert "192.0.2.8" not in hosts


@pytest.mark.parametrize(
    "path", ["/", "/audience-generation-job", "/oidc/jwks", "/_sandbox/callers", "/nothing"]
)
def test_a_request_for_another_host_is_421(path: str) -> None:
    """The message says what is accepted."""
    with serve(restrict_hosts(create_sandbox(), LOCAL)) as url:
        refused = send(url, path, headers={"Host": "evil.example:9000"})
        served = send(url, path)

    assert refused.status == 421
    assert "loopback addresses, 127.0.0.1, localhost" in refused.json()["message"]
    assert served.status != 421


def test_two_hosts_are_none() -> None:
    with (
        serve(restrict_hosts(create_sandbox(), LOCAL)) as url,
        socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=60) as raw,
    ):
        raw.sendall(b"GET /oidc/jwks HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 421 ")
