"""An answer that is out of all measure is not held in memory."""

from typing import Any

from tests.hostile.target import NOTHING, WIRE_ATTEMPTS, Target, private_in

MEGABYTE = 2**20
MEGABYTES = 200
SPARE = 64 * MEGABYTE


def measured(target: Target, fault: str, **settings: Any) -> int:
    """Ask while a fault is on, and return by how much the gateway has grown."""
    before = target.program.resident()
    answer = target.struck(fault, **settings)
    grown = target.program.resident() - before

    assert (answer.status, answer.code) == (200, "UPSTREAM_INVALID_RESPONSE")
    assert answer.content["data"] == NOTHING
    assert private_in(answer) == []
    assert 1 <= target.sandbox.count() <= WIRE_ATTEMPTS
    return grown


def test_what_unpacks_to_a_mountain_is_not_unpacked(patient: Target) -> None:
    """Nobody asked for gzip."""
    assert measured(patient, "gzip", megabytes=MEGABYTES) < SPARE


def test_what_is_nested_without_end_is_not_followed(patient: Target) -> None:
    """Two million brackets are no answer."""
    assert measured(patient, "deep", depth=MEGABYTE) < SPARE


def test_what_does_not_end_is_not_read_to_its_end(patient: Target) -> None:
    """It is valid, and still no page that anybody would send."""
    assert measured(patient, "huge", megabytes=MEGABYTES) < SPARE
