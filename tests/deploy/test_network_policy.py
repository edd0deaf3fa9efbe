"""Egress of a pod: DNS, AWS, Redis if configured, and no metadata service."""

import ipaddress
from collections.abc import Iterator
from typing import Any

import pytest

from tests.deploy.helm import CACHED, Helm, Manifests


def allowed_blocks(manifests: Manifests) -> Iterator[tuple[Any, set[int]]]:
    """Yield the allowed blocks of addresses with their ports."""
    for rule in manifests["NetworkPolicy"]["spec"]["egress"]:
        ports = {each["port"] for each in rule["ports"]}
        for peer in rule.get("to", []):
            if "ipBlock" in peer:
                yield peer["ipBlock"], ports


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "169.254.170.2", "fd00:ec2::254", "fe80::1"]
)
def test_link_local_addresses_are_not_allowed(full: Manifests, address: str) -> None:
    """The metadata service is one of them; other addresses are allowed."""
    link_local = ipaddress.ip_address(address)
    elsewhere = ipaddress.ip_address("203.0.113.1" if link_local.version == 4 else "2001:db8::1")

    def allowed(one: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
        return any(
            one in ipaddress.ip_network(block["cidr"])
            and not any(one in ipaddress.ip_network(each) for each in block["except"])
            for block, _ in allowed_blocks(full)
        )

    assert not allowed(link_local)
    assert allowed(elsewhere)
    assert {port for _, ports in allowed_blocks(full) for port in ports} == {443}


def test_redis_is_allowed_only_if_configured(helm: Helm, plain: Manifests) -> None:
    """Its URL may be in the setting or in the secret."""

    def ports(manifests: Manifests) -> set[int]:
        rules = manifests["NetworkPolicy"]["spec"]["egress"]
        return {each["port"] for rule in rules for each in rule["ports"]}

    in_file: Any = {"secrets": {"cacheUrlFile": {"name": "redis"}}}

    assert ports(plain) == {53, 443}
    assert ports(helm.render(**CACHED)) == {53, 443, 6379}
    assert ports(helm.render(**in_file)) == {53, 443, 6379}
