"""The way of a job through its statuses."""

from random import Random

from gateway.sandbox.records import Members, Move
from gateway.sandbox.vocabulary import failure

SECOND_MS = 1000
MINUTE_MS = 60_000

_FAILURE_RATE = 0.1
_DELETION_EVERY = 41
_LIVE_DELETION_EVERY = 97
_FIRST_DELETION = 40


def creation_moves(chance: Random, created_ms: int, active: Members) -> tuple[Move, ...]:
    """Invent how a creation went: half a minute of waiting, some minutes of work, an end."""
    begun_ms = created_ms + chance.randrange(25 * SECOND_MS, 60 * SECOND_MS)
    ended_ms = begun_ms + chance.randrange(3 * MINUTE_MS, 15 * MINUTE_MS)
    failed = chance.random() < _FAILURE_RATE
    end = (
        Move(ended_ms, "CREATE_FAILED", failure(chance))
        if failed
        else Move(ended_ms, "ACTIVE", active)
    )
    return (Move(created_ms, "CREATE_PENDING"), Move(begun_ms, "CREATE_IN_PROGRESS"), end)


def job_moves(chance: Random, number: int, created_ms: int, epoch_ms: int) -> tuple[Move, ...]:
    """Invent the whole life of a generation job, of which a few are being deleted."""
    metrics = {"metrics": _metrics(chance)}
    moves = creation_moves(chance, created_ms, metrics)
    if number < _FIRST_DELETION:
        return moves
    if number % _LIVE_DELETION_EVERY == _FIRST_DELETION:
        # Under way when the sandbox starts, so that every status can be seen at once.
        step = number // _LIVE_DELETION_EVERY % 2
        return moves + _deletion(epoch_ms - (30 + 60 * step) * SECOND_MS, moves[-1].members)
    if number % _DELETION_EVERY == _FIRST_DELETION:
        return moves + _deletion(moves[-1].at_ms + 10 * MINUTE_MS, moves[-1].members)
    return moves


def _deletion(asked_ms: int, members: Members) -> tuple[Move, ...]:
    # Deletions end in failure: an object that vanished would make the length of a list a surprise.
    details = {"statusCode": "IN_USE", "message": "An export job still reads the audience."}
    return (
        Move(asked_ms, "DELETE_PENDING", members),
        Move(asked_ms + MINUTE_MS, "DELETE_IN_PROGRESS", members),
        Move(asked_ms + 6 * MINUTE_MS, "DELETE_FAILED", {**members, "statusDetails": details}),
    )


def _metrics(chance: Random) -> Members:
    sizes = ({"type": "PERCENTAGE", "value": value} for value in (1, 5, 10, 20))
    relevance = [
        {"audienceSize": size, "score": round(chance.uniform(0.5, 9.5), 3)} for size in sizes
    ]
    return {"relevanceMetrics": relevance, "recallMetric": round(chance.random(), 4)}
