"""Egress of a pod: DNS, AWS, Redis if configured, and no metadata service."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.deploy.helm import CACHED, Helm, Manifests


@dataclass(frozen=True)
class Pod:
    """A destination that only selectors match: network plugins need not match it by its address."""

    labels: Mapping[str, str] = field(default_factory=dict)
    namespace_labels: Mapping[str, str] = field(default_factory=dict)


Destination = Pod | str
"""A pod, or the address of anything else: of a node, a Service without pods, or a host outside."""


def allows(manifests: Manifests, destination: Destination, port: int, protocol: str) -> bool:
    """Evaluate the egress rules as the Kubernetes documentation defines them."""
    return any(
        {"port": port, "protocol": protocol} in rule["ports"]
        and ("to" not in rule or any(_matches(peer, destination) for peer in rule["to"]))
        for rule in manifests["NetworkPolicy"]["spec"]["egress"]
    )


def _matches(peer: Mapping[str, Any], destination: Destination) -> bool:
    if isinstance(destination, Pod):
        # Without a selector of namespaces, those of the policy's own.
        return "namespaceSelector" in peer and all(
            selector.get("matchLabels", {}).items() <= labels.items()
            for selector, labels in (
                (peer["namespaceSelector"], destination.namespace_labels),
                (peer.get("podSelector", {}), destination.labels),
            )
        )
    address, block = ipaddress.ip_address(destination), peer.get("ipBlock")
    return (
        block is not None
        and address in ipaddress.ip_network(block["cidr"])
        and not any(address in ipaddress.ip_network(each) for each in block.get("except", ()))
    )


def _pod(namespace: str, **labels: str) -> Pod:
    return Pod(
        {name.replace("_", "-"): value for name, value in labels.items()},
        {"kubernetes.io/metadata.name": namespace},
    )


DNS_SERVERS: dict[str, tuple[Destination, int]] = {
    # kubernetes.io/docs/tasks/administer-cluster/dns-debugging-resolution
    "kube-dns and CoreDNS": (_pod("kube-system", k8s_app="kube-dns"), 53),
    # kubernetes.io/docs/tasks/administer-cluster/nodelocaldns: an address of the node, and with
    # iptables also that of the Service; for IPv6 an address of fd00::/8
    "NodeLocal DNSCache": ("169.254.20.10", 53),
    "NodeLocal DNSCache, at the address of the Service": ("10.96.0.10", 53),
    "NodeLocal DNSCache, IPv6": ("fd00:20::10", 53),
    # docs.openshift.com, "DNS Operator": pods of openshift-dns, whose Service translates 53 to 5353
    "OpenShift": (Pod({}, {"kubernetes.io/metadata.name": "openshift-dns"}), 5353),
    # docs.aws.amazon.com/eks, "Auto Mode": CoreDNS runs on the node and is no pod. Pods use the
    # tenth address of the cluster's range of Services.
    "EKS Auto Mode": ("10.100.0.10", 53),
    "EKS Auto Mode, the other range": ("172.20.0.10", 53),
    "EKS Auto Mode, IPv6": ("fd3e:b4a8:6b2c::a", 53),
    # docs.aws.amazon.com/vpc, "Amazon DNS server": the Route 53 Resolver
    "the VPC's resolver": ("169.254.169.253", 53),
    "the VPC's resolver, IPv6": ("fd00:ec2::253", 53),
}

CREDENTIAL_ENDPOINTS = {
    "instance metadata": "169.254.169.254",
    "instance metadata, IPv6": "fd00:ec2::254",
    "EKS Pod Identity": "169.254.170.23",
    "EKS Pod Identity, IPv6": "fd00:ec2::23",
    "ECS": "169.254.170.2",
}


@pytest.mark.parametrize("server", DNS_SERVERS)
@pytest.mark.parametrize("protocol", ["UDP", "TCP"])
def test_names_are_resolved_in_clusters_of_each_kind(
    plain: Manifests, server: str, protocol: str
) -> None:
    assert allows(plain, *DNS_SERVERS[server], protocol)


@pytest.mark.parametrize("endpoint", CREDENTIAL_ENDPOINTS)
def test_nothing_that_gives_away_credentials_is_reached(plain: Manifests, endpoint: str) -> None:
    """Whatever the port."""
    address = CREDENTIAL_ENDPOINTS[endpoint]
    rules = plain["NetworkPolicy"]["spec"]["egress"]
    ports = {(each["port"], each["protocol"]) for rule in rules for each in rule["ports"]}

    assert all(rule["to"] for rule in rules)
    assert (443, "TCP") in ports
    assert not any(allows(plain, address, *port) for port in ports)
    assert not allows(plain, address, 80, "TCP")


@pytest.mark.parametrize("address", ["203.0.113.1", "2001:db8::1"])
def test_aws_is_reached_by_https_alone(plain: Manifests, address: str) -> None:
    assert allows(plain, address, 443, "TCP")
    assert not allows(plain, address, 80, "TCP")
    assert not allows(plain, address, 6379, "TCP")
    assert not allows(plain, "169.254.20.10", 443, "TCP")
    assert not allows(plain, _pod("kube-system", k8s_app="kube-dns"), 443, "TCP")


def test_redis_is_allowed_only_if_configured(helm: Helm, plain: Manifests) -> None:
    """Its URL may be in the setting or in the secret."""

    def ports(manifests: Manifests) -> set[int]:
        rules = manifests["NetworkPolicy"]["spec"]["egress"]
        return {each["port"] for rule in rules for each in rule["ports"]}

    in_file: Any = {"secrets": {"cacheUrlFile": {"name": "redis"}}}

    assert ports(plain) == {53, 5353, 443}
    assert ports(helm.render(**CACHED)) == ports(plain) | {6379}
    assert ports(helm.render(**in_file)) == ports(plain) | {6379}
