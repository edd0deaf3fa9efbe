"""Checks of Redis: reachability, latency, permissions, writes, scripts and eviction."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import NoPermissionError, ResponseError

from gateway.doctor import diagnosis
from gateway.doctor.diagnosis import REDIS_PERMISSIONS, redis_problem, row_of
from gateway.doctor.redis import latency_result
from tests.doctor.reports import Report, check
from tests.gateways import Sandbox
from tests.listeners import closing, redis_replying
from tests.redis_servers import (
    PASSWORD,
    PASSWORD_IN_URLS,
    RedisCluster,
    RedisServer,
    running_cluster,
    running_redis,
)

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


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (b"-LOADING Redis is loading", ["loading its dataset", "later"]),
        (b"-READONLY You can't write", ["read-only", "primary"]),
        (b"-NOPERM this user has no permissions", ["ACL", "+evalsha"]),
        (b"-OOM command not allowed", ["memory is full", "allkeys-lru"]),
        (b"-MOVED 1 127.0.0.1:1", ["node of a cluster", "+cluster|slots"]),
        (b"-ASK 1 127.0.0.1:1", ["node of a cluster", "resharding"]),
        (b"-TRYAGAIN Multiple keys", ["(TRYAGAIN)"]),
        (b"-CLUSTERDOWN The cluster is down", ["cluster is down", "redis-cli --cluster fix"]),
        (b"-MASTERDOWN Link with MASTER is down", ["lost its primary"]),
        (b"-MISCONF Errors writing to disk", ["(MISCONF)", "log"]),
        (b"-NOAUTH Authentication required.", ["user or the password"]),
        (b"-ERR unknown command", ["(ERR)"]),
        (b"-ERR max number of clients reached", ["no more clients", "maxclients"]),
        (b"-Oh my secret", ["(ERR)"]),
        (b"HTTP/1.1 400 Bad Request", ["protocol"]),
        (b"\xff\xfe", ["protocol"]),
        (b"+what?", ["protocol"]),
        (b":1", ["protocol"]),
        (b"*1\r\n:1", ["protocol"]),
    ],
)
def test_any_reply_is_explained(sandbox: Sandbox, reply: bytes, words: list[str]) -> None:
    """The text of an error, which may have data in it, is not shown."""
    with redis_replying(reply + b"\r\n") as port:
        report = check_redis(f"redis://127.0.0.1:{port}", sandbox)

    failed = [what for what in report.failed if all(word in report.text(what) for word in words)]
    assert failed, report.printed
    assert not [what for what in report.failed if "maintainers" in report.text(what)]
    assert "secret" not in report.printed


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
    "text",
    [
        "The user executing the script can't run this command or subcommand",  # Redis 6.2 and 7.0
        "ACL failure in script: User user has no permissions to run the 'set' command",  # later
    ],
)
def test_a_script_without_permissions_is_recognized_in_each_version(text: str) -> None:
    assert redis_problem(ResponseError(f"ERR {text} script: 0, on @user_script:1.")) == (
        redis_problem(NoPermissionError())
    )


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


@pytest.fixture(scope="module")
def shared_cluster() -> Iterator[RedisCluster]:
    with running_cluster(password=PASSWORD) as cluster:
        yield cluster


@pytest.fixture
def cluster(shared_cluster: RedisCluster) -> Iterator[RedisCluster]:
    """Return the shared cluster, which a test may pause or configure."""
    yield shared_cluster
    for node in shared_cluster.nodes:
        node.resume()
        node.call("CONFIG SET", "maxmemory", 0)


def rows_of(node: RedisServer) -> list[str]:
    name = f"redis 127.0.0.1:{node.port}"
    return [name, f"{name}: entries", f"{name}: scripts", f"{name}: memory"]


def test_each_primary_of_a_cluster_is_checked(cluster: RedisCluster, sandbox: Sandbox) -> None:
    """No entry is left on any."""
    report = check_redis(cluster.nodes[0].url, sandbox)

    assert report.failed == set()
    assert report.state("redis") == report.state("redis: cluster") == "ok"
    for node in cluster.nodes:
        assert f"127.0.0.1:{node.port}" in report.text("redis: cluster")
        *works, memory = (report.state(row) for row in rows_of(node))
        assert (works, memory) == (["ok"] * 3, "warn")
        assert not [key for key in node.call("KEYS", "*") if b":share:" not in key]
    assert PASSWORD_IN_URLS not in report.printed


def test_a_single_server_has_no_row_for_a_cluster(redis: RedisServer, sandbox: Sandbox) -> None:
    assert "redis: cluster" not in check_redis(redis.url, sandbox).rows


def test_a_primary_that_does_not_respond_fails_alone(
    cluster: RedisCluster, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnosis, "CHECK_SECONDS", 2.0)
    first, second = cluster.nodes
    second.pause()
    report = check_redis(first.url, sandbox)

    (failed,) = report.failed
    assert failed == rows_of(second)[0]
    report.assert_failed(failed, "does not respond", "announces")
    assert [report.state(row) for row in rows_of(first)][:3] == ["ok"] * 3


def test_a_primary_that_rejects_commands_is_named(cluster: RedisCluster, sandbox: Sandbox) -> None:
    first, second = cluster.nodes
    second.call("CONFIG SET", "maxmemory", 1)
    report = check_redis(first.url, sandbox)

    assert report.failed == {*rows_of(second)[1:3]}
    report.assert_failed(rows_of(second)[1], "full", "allkeys-lru")


@pytest.mark.parametrize(("more", "state"), [("", "ok"), ("-cluster", "skipped")])
def test_the_permissions_for_a_cluster_are_listed(
    cluster: RedisCluster, sandbox: Sandbox, more: str, state: str
) -> None:
    """Without the one that reads the slots, keys of other nodes cannot be checked."""
    for node in cluster.nodes:
        node.call(
            "ACL SETUSER",
            "user",
            "reset",
            "on",
            ">secret",
            *REDIS_PERMISSIONS.split(),
            *more.split(),
        )
    url = f"redis://user:secret@127.0.0.1:{cluster.nodes[0].port}"
    report = check_redis(url, sandbox)

    assert report.state("redis: cluster") == state
    if not more:
        assert report.failed == set()


@pytest.fixture
def node_without_slots() -> Iterator[RedisServer]:
    with running_redis("--cluster-enabled", "yes") as server:
        yield server


def test_slots_that_no_node_holds_fail(node_without_slots: RedisServer, sandbox: Sandbox) -> None:
    report = check_redis(node_without_slots.url, sandbox)

    report.assert_failed("redis: cluster", "16384 of 16384 slots", "redis-cli --cluster fix")
    report.assert_failed(ENTRIES, "cluster is down", "redis-cli --cluster fix")


def test_a_database_of_a_cluster_other_than_0_fails(
    cluster: RedisCluster, sandbox: Sandbox
) -> None:
    report = check_redis(cluster.nodes[0].url.removesuffix("0") + "1", sandbox)

    report.assert_failed("redis", "number of the database", "0 only")
