"""Who a pod may talk to: names, AWS, Redis where there is one, and no metadata service."""

import ipaddress
from collections.abc import Iterator
from typing import Any

import pytest

from tests.deploy.helm import CACHED, Helm, Manifests


def reached(manifests: Manifests) -> Iterator[tuple[Any, set[int]]]:
    """Name the blocks of addresses that may be reached, less what is left out, by port."""
    for rule in manifests["NetworkPolicy"]["spec"]["egress"]:
        ports = {each["port"] for each in rule["ports"]}
        for peer in rule.get("to", []):
            if "ipBlock" in peer:
                yield peer["ipBlock"], ports


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "169.254.170.2", "fd00:ec2::254", "fe80::1"]
)
def test_the_metadata_service_is_not_reached(full: Manifests, address: str) -> None:
    """Nor whatever else is on the link; and what is left out is not all there is."""
    wanted = ipaddress.ip_address(address)
    elsewhere = ipaddress.ip_address("203.0.113.1" if wanted.version == 4 else "2001:db8::1")

    def allowed(one: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
        return any(
            one in ipaddress.ip_network(block["cidr"])
            and not any(one in ipaddress.ip_network(each) for each in block["except"])
            for block, _ in reached(full)
        )

    assert not allowed(wanted)
    assert allowed(elsewhere)
    assert {port for _, ports in reached(full) for port in ports} == {443}


def test_redis_is_reached_only_where_there_is_one(helm: Helm, plain: Manifests) -> None:
    """By either way to name it."""

    def ports(manifests: Manifests) -> set[int]:
        rules = manifests["NetworkPolicy"]["spec"]["egress"]
        return {each["port"] for rule in rules for each in rule["ports"]}

    in_file: Any = {"secrets": {"cacheUrlFile": {"name": "redis"}}}

    assert ports(plain) == {53, 443}
    assert ports(helm.render(**CACHED)) == {53, 443, 6379}
    assert ports(helm.render(**in_file)) == {53, 443, 6379}
