"""Checks of Redis: reachability, latency, permissions, writes, scripts and eviction."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.doctor.diagnosis import REDIS_PERMISSIONS, row_of
from gateway.doctor.redis import latency_result
from tests.doctor.reports import Report, check
from tests.gateways import Sandbox
from tests.listeners import closing
from tests.redis_servers import PASSWORD_IN_URLS, RedisServer, running_redis

ENTRIES, SCRIPTS, MEMORY = "redis: entries", "redis: scripts", "redis: memory"


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with running_redis(password="a+pass word/of:its@own") as server:
        yield server


def check_redis(url: str, sandbox: Sandbox, **settings: Any) -> Report:
    return check(upstream_url=sandbox.url, cache_url=url, **settings)


def test_a_redis_is_found_by_the_file_of_its_url(
    redis: RedisServer, sandbox: Sandbox, tmp_path: Path
) -> None:
    file = tmp_path / "url"
    file.write_text(redis.url, encoding="ascii")
    report = check(upstream_url=sandbox.url, cache_url_file=file)

    assert report.state("redis") == "ok"
    assert PASSWORD_IN_URLS not in report.printed


def test_a_healthy_redis_is_left_without_entries(redis: RedisServer, sandbox: Sandbox) -> None:
    with redis.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
    report = check_redis(redis.url, sandbox)

    assert report.code == 0
    assert {report.state(row) for row in ("redis", ENTRIES, SCRIPTS, MEMORY)} == {"ok"}
    assert "limit: 100 ms" in report.text("redis")
    assert f"redis://127.0.0.1:{redis.port}/0" in report.text("redis")
    assert PASSWORD_IN_URLS not in report.printed
    with redis.client() as client:
        keys = client.keys()
        assert all(key.startswith(b"audience-gateway:share:1") for key in keys)
        assert all(client.ttl(key) > 0 for key in keys)


def test_a_redis_that_evicts_nothing_is_a_warning(redis: RedisServer, sandbox: Sandbox) -> None:
    report = check_redis(redis.url, sandbox)

    assert report.code == 0
    assert report.state(MEMORY) == "warn"
    assert "noeviction" in report.text(MEMORY)


@pytest.mark.parametrize("login", ["", ":wrong@", "unknown:wrong@"])
def test_wrong_credentials_fail(redis: RedisServer, sandbox: Sandbox, login: str) -> None:
    report = check_redis(f"redis://{login}127.0.0.1:{redis.port}", sandbox)

    assert report.failed == {"redis"}
    report.assert_failed("redis", "refused the user or the password", "percent-encoded")
    assert {report.state(row) for row in (ENTRIES, SCRIPTS, MEMORY)} == {"skipped"}


def test_a_refused_connection_fails_redis_only(free_port: int, sandbox: Sandbox) -> None:
    report = check_redis(f"redis://127.0.0.1:{free_port}", sandbox)

    assert report.failed == {"redis"}
    report.assert_failed("redis", f"127.0.0.1:{free_port}", "connection refused")


def test_a_redis_that_does_not_respond_fails(redis: RedisServer, sandbox: Sandbox) -> None:
    redis.pause()

    check_redis(redis.url, sandbox).assert_failed("redis", "does not respond within", "hang")


def test_a_closed_connection_fails(sandbox: Sandbox) -> None:
    """A port that requires TLS closes it, for example."""
    with closing() as port:
        report = check_redis(f"redis://127.0.0.1:{port}", sandbox)

    report.assert_failed("redis", "close", "TLS")


def test_other_protocols_fail(redis: RedisServer, sandbox: Sandbox) -> None:
    """They are HTTP in place of Redis, and plain text where rediss:// expects TLS."""
    http = check_redis(sandbox.url.replace("http:", "redis:"), sandbox)
    plain = check_redis(redis.url.replace("redis:", "rediss:"), sandbox)

    http.assert_failed("redis", "protocol", "GATEWAY_CACHE_URL")
    plain.assert_failed("redis")


def test_a_database_number_out_of_range_fails(redis: RedisServer, sandbox: Sandbox) -> None:
    report = check_redis(redis.url.removesuffix("0") + "99", sandbox)

    report.assert_failed("redis", "number of the database")


def test_a_read_only_replica_fails_writes(
    redis: RedisServer, sandbox: Sandbox, free_port: int
) -> None:
    with redis.client() as client:
        client.replicaof("127.0.0.1", str(free_port))
    report = check_redis(redis.url, sandbox)

    assert report.state("redis") == "ok"
    assert report.failed == {ENTRIES, SCRIPTS}
    for what in (ENTRIES, SCRIPTS):
        report.assert_failed(what, "read-only", "primary")


def test_a_full_redis_fails_writes(redis: RedisServer, sandbox: Sandbox) -> None:
    with redis.client() as client:
        client.config_set("maxmemory", "1")

    check_redis(redis.url, sandbox).assert_failed(ENTRIES, "full", "allkeys-lru")


@pytest.mark.parametrize(
    ("permissions", "failing"),
    [
        ("~* +@all -@scripting", {SCRIPTS}),
        ("~* +@all -set", {ENTRIES, SCRIPTS}),
        ("~* +@all -info", set[str]()),
        ("~* +@all -del", set[str]()),
        (REDIS_PERMISSIONS, set[str]()),
    ],
)
def test_missing_permissions_fail_what_needs_them(
    redis: RedisServer, sandbox: Sandbox, permissions: str, failing: set[str]
) -> None:
    """The remedy lists permissions that are enough."""
    with redis.client() as client:
        client.execute_command("ACL", "SETUSER", "user", "on", ">secret", *permissions.split())
    report = check_redis(f"redis://user:secret@127.0.0.1:{redis.port}", sandbox)

    assert report.failed == failing
    for what in failing:
        report.assert_failed(what, "ACL", "+evalsha")
    assert report.state(MEMORY) == ("skipped" if "-info" in permissions else "warn")


def test_scripts_are_not_needed_without_rate_limits(redis: RedisServer, sandbox: Sandbox) -> None:
    report = check_redis(redis.url, sandbox, caller_calls_per_second=0)

    assert report.state(SCRIPTS) == "skipped"
    assert report.state("GATEWAY_CALLER_CALLS_PER_SECOND") == "warn"


@pytest.mark.parametrize(
    ("milliseconds", "state"),
    [(0.2, "ok"), (49.9, "ok"), (50, "warn"), (99.9, "warn"), (100, "FAIL")],
)
def test_latency_is_compared_with_the_limit_of_the_gateway(milliseconds: float, state: str) -> None:
    assert row_of("redis", latency_result(milliseconds)).state == state
