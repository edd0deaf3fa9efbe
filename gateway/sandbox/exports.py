"""The export jobs of an account: copies of some of its generated audiences."""

from collections.abc import Iterator

from gateway.sandbox.jobs import GenerationJobs
from gateway.sandbox.lifecycle import MINUTE_MS, creation_moves
from gateway.sandbox.origin import Origin
from gateway.sandbox.records import Record
from gateway.sandbox.vocabulary import description

_EXPORTED_EVERY = 3
_MOST_EXPORTS = 4
# One job has more exports than fit on a page, so that a list inside a list has to be paged too.
_POPULAR_SINCE = 21
_POPULAR_EXPORTS = 130


def export_jobs(origin: Origin, jobs: GenerationJobs) -> Iterator[Record]:
    """Invent the exports of every third job that has an audience to export."""
    taken: set[int] = set()
    popular_found = False
    for position in range(0, len(jobs), _EXPORTED_EVERY):
        job = jobs[position]
        if job.moves[-1].status != "ACTIVE":
            continue
        popular = position >= _POPULAR_SINCE and not popular_found
        popular_found = popular_found or popular
        count = _POPULAR_EXPORTS if popular else 1 + position % _MOST_EXPORTS
        for number in range(count):
            created_ms = job.moves[-1].at_ms + (number + 1) * 2 * MINUTE_MS
            if created_ms >= origin.epoch_ms:
                break
            while created_ms in taken:
                created_ms += 1
            taken.add(created_ms)
            yield _export(origin, job, number, created_ms)


def _export(origin: Origin, job: Record, number: int, created_ms: int) -> Record:
    arn = job.fixed["audienceGenerationJobArn"]
    chance = origin.random("export", arn, number)
    percent = chance.random() < 0.5  # noqa: PLR2004 - half of them
    size = {
        "type": "PERCENTAGE" if percent else "ABSOLUTE",
        "value": chance.choice((1, 5, 10) if percent else (50_000, 250_000)),
    }
    fixed = {
        "name": f"Export {number + 1} of {job.fixed['name']}"[:63],
        **description(chance),
        "audienceGenerationJobArn": arn,
        "audienceSize": size,
    }
    output = f"s3://audiences-{origin.account_id}/{origin.uuid('export', arn, number)}/"
    moves = creation_moves(chance, created_ms, {"outputLocation": output})
    return Record(created_ms, fixed, moves)
