"""The Redis that replicas share: reached, allowed, writable, with scripts; or why not."""

from collections.abc import Iterator
from typing import Any

import pytest

from gateway.doctor.redis_words import RIGHTS
from gateway.doctor.shared_cache import latency_row
from tests.doctor.reports import Report, checked
from tests.gateways import Sandbox
from tests.hostile.listeners import closing
from tests.redis_servers import PASSWORD_IN_URLS, RedisServer, running_redis

ENTRIES, SCRIPTS, MEMORY = "redis: entries", "redis: scripts", "redis: memory"


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    """Run a Redis with a password."""
    with running_redis(password="a+pass word/of:its@own") as server:
        yield server


def checked_over(url: str, sandbox: Sandbox, **settings: Any) -> Report:
    """Check a gateway over a healthy sandbox and a Redis."""
    return checked(upstream_url=sandbox.url, cache_url=url, **settings)


def test_all_works_and_nothing_is_left(redis: RedisServer, sandbox: Sandbox) -> None:
    """A sealed value is kept and taken away; what was counted ends by itself."""
    with redis.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
    report = checked_over(redis.url, sandbox)

    assert report.code == 0
    assert {report.state(row) for row in ("redis", ENTRIES, SCRIPTS, MEMORY)} == {"ok"}
    assert "of 100 that it may take" in report.why("redis")
    with redis.client() as client:
        keys = client.keys()
        assert all(key.startswith(b"audience-gateway:share:1") for key in keys)
        assert all(client.ttl(key) > 0 for key in keys)


def test_its_password_is_not_shown(redis: RedisServer, sandbox: Sandbox) -> None:
    """Its address is, without who logs in."""
    report = checked_over(redis.url, sandbox)

    assert f"redis://127.0.0.1:{redis.port}/0" in report.why("redis")
    assert PASSWORD_IN_URLS not in report.printed


def test_one_that_evicts_nothing_is_a_warning(redis: RedisServer, sandbox: Sandbox) -> None:
    """As Redis does unless it is told otherwise."""
    report = checked_over(redis.url, sandbox)

    assert report.code == 0
    assert report.state(MEMORY) == "warn"
    assert "noeviction" in report.why(MEMORY)


@pytest.mark.parametrize("login", ["", ":wrong@", "nobody:wrong@"])
def test_a_wrong_password(redis: RedisServer, sandbox: Sandbox, login: str) -> None:
    """Or none, or one of a user that it does not know."""
    report = checked_over(f"redis://{login}127.0.0.1:{redis.port}", sandbox)

    assert report.failed == {"redis"}
    report.assert_failed("redis", "refuses the user or the password", "percent-encoded")
    assert {report.state(row) for row in (ENTRIES, SCRIPTS, MEMORY)} == {"skipped"}


def test_it_is_down(free_port: int, sandbox: Sandbox) -> None:
    """Nothing else fails by that."""
    report = checked_over(f"redis://127.0.0.1:{free_port}", sandbox)

    assert report.failed == {"redis"}
    report.assert_failed("redis", f"127.0.0.1:{free_port}", "nothing listens")


def test_it_stands_still(redis: RedisServer, sandbox: Sandbox) -> None:
    """It takes connections and says nothing."""
    redis.pause()
    report = checked_over(redis.url, sandbox)

    report.assert_failed("redis", "does not answer within", "hangs")


def test_it_closes_the_connection(sandbox: Sandbox) -> None:
    """As a port that wants TLS does."""
    with closing() as port:
        report = checked_over(f"redis://127.0.0.1:{port}", sandbox)

    report.assert_failed("redis", "close", "TLS")


def test_something_else_answers(sandbox: Sandbox) -> None:
    """Here HTTP: it does not speak as Redis does."""
    report = checked_over(sandbox.url.replace("http:", "redis:"), sandbox)

    report.assert_failed("redis", "GATEWAY_CACHE_URL")


def test_tls_to_one_without(redis: RedisServer, sandbox: Sandbox) -> None:
    """rediss:// to where none is spoken."""
    report = checked_over(redis.url.replace("redis:", "rediss:"), sandbox)

    report.assert_failed("redis")


def test_a_database_that_is_not_there(redis: RedisServer, sandbox: Sandbox) -> None:
    """Redis has sixteen."""
    report = checked_over(redis.url.removesuffix("0") + "99", sandbox)

    report.assert_failed("redis", "number of the database")


def test_a_replica_that_only_reads(redis: RedisServer, sandbox: Sandbox, free_port: int) -> None:
    """It is reached; what it refuses has its own rows."""
    with redis.client() as client:
        client.replicaof("127.0.0.1", str(free_port))
    report = checked_over(redis.url, sandbox)

    assert report.state("redis") == "ok"
    assert report.failed == {ENTRIES, SCRIPTS}
    for what in (ENTRIES, SCRIPTS):
        report.assert_failed(what, "only reads", "primary")


def test_one_that_is_full(redis: RedisServer, sandbox: Sandbox) -> None:
    """And evicts nothing."""
    with redis.client() as client:
        client.config_set("maxmemory", "1")
    report = checked_over(redis.url, sandbox)

    report.assert_failed(ENTRIES, "full", "allkeys-lru")


USERS = {
    "scripts": ("+@all -@scripting", {SCRIPTS}),
    "writes": ("+@all -set", {ENTRIES, SCRIPTS}),
    "looks": ("+@all -info", set[str]()),
    "deletes": ("+@all -del", set[str]()),
}
"""User without a right -> what they have instead, and what does not work for them."""


@pytest.mark.parametrize("user", USERS)
def test_a_user_without_a_right(redis: RedisServer, sandbox: Sandbox, user: str) -> None:
    """What the gateway needs of it fails, with what to allow; what it does not need is no fault."""
    rights, failing = USERS[user]
    with redis.client() as client:
        client.execute_command("ACL", "SETUSER", user, "on", ">secret", "~*", *rights.split())
    report = checked_over(f"redis://{user}:secret@127.0.0.1:{redis.port}", sandbox)

    assert report.failed == failing
    for what in failing:
        report.assert_failed(what, "ACL", "+evalsha")


def test_the_rights_that_it_asks_for_are_enough(redis: RedisServer, sandbox: Sandbox) -> None:
    """Who follows the remedy of a refusal meets no other."""
    with redis.client() as client:
        client.execute_command("ACL", "SETUSER", "gateway", "on", ">secret", *RIGHTS.split())
    report = checked_over(f"redis://gateway:secret@127.0.0.1:{redis.port}", sandbox)

    assert report.failed == set()
    assert report.state(MEMORY) == "warn"


def test_scripts_are_not_needed_without_shares(redis: RedisServer, sandbox: Sandbox) -> None:
    """Nobody is counted where there is no limit."""
    report = checked_over(redis.url, sandbox, caller_calls_per_second=0)

    assert report.state(SCRIPTS) == "skipped"
    assert report.state("GATEWAY_CALLER_CALLS_PER_SECOND") == "warn"


@pytest.mark.parametrize(
    ("milliseconds", "state"),
    [(0.2, "ok"), (49.9, "ok"), (50, "warn"), (99.9, "warn"), (100, "FAIL")],
)
def test_how_long_it_takes_is_judged(milliseconds: float, state: str) -> None:
    """By the tenth of a second after which the gateway asks AWS instead."""
    assert latency_row(milliseconds).state == state
