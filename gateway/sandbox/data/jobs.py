"""Generation jobs, generated and started later, and the exports of the generated ones."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

from gateway.sandbox.data.resources import (
    DAY_MS,
    EVEN,
    MINUTE_MS,
    SECOND_MS,
    Members,
    Record,
    Seed,
    Transition,
    audience_name,
    description,
    status_details,
)

FINAL_STATUSES = ("ACTIVE", "CREATE_FAILED")
JOB_STATUSES = (
    "CREATE_PENDING",
    "CREATE_IN_PROGRESS",
    *FINAL_STATUSES,
    "DELETE_PENDING",
    "DELETE_IN_PROGRESS",
    "DELETE_FAILED",
)

MAX_JOB_SECONDS = 86_400

_FAILURE_RATE = 0.1
_COLLABORATIONS = 4
_PARTNERS = ("111122223333", "222233334444", "333344445555", "999988887777")
_FIRST_DELETED_JOB = 40
_DELETED_JOB_EVERY = 41
_JOB_IN_DELETION_EVERY = 97
_DELETION_FAILURE = {
    "statusDetails": {"statusCode": "IN_USE", "message": "An export job still reads the audience."}
}


def generation_job_arn(seed: Seed, number: int) -> str:
    return seed.arn("audience-generation-job", "job", number)


def _job_members(seed: Seed, number: int, model_arns: Sequence[str]) -> Members:
    rng = seed.random("job", number)
    members: dict[str, object] = {
        "audienceGenerationJobArn": generation_job_arn(seed, number),
        "name": audience_name(rng),
        **description(rng),
        "configuredAudienceModelArn": rng.choice(model_arns),
        "includeSeedInOutput": rng.random() < EVEN,
        "tags": {"cost-center": f"{rng.randrange(100, 999)}", "näme": "wert / value"},
    }
    if number % 4 or number < 0:
        collaboration = rng.randrange(_COLLABORATIONS)
        # All jobs that are started later are in one list that is short.
        members["collaborationId"] = seed.collaboration_id(collaboration if number >= 0 else 0)
        members["startedBy"] = rng.choice(_PARTNERS)
    members.update(_seed_audience(seed, number, rng.randrange(_COLLABORATIONS)))
    return members


def _seed_audience(seed: Seed, number: int, membership: int) -> Members:
    """Return the seed of a job: an S3 object, or for every fifth job an SQL query."""
    role_arn = seed.role_arn("audience-seed")
    if number % 5:
        uri = f"s3://seeds-{seed.account_id}/{seed.uuid('seed', number)}.jsonl"
        return {"seedAudience": {"dataSource": {"s3Uri": uri}, "roleArn": role_arn}}
    template = (
        f"arn:aws:cleanrooms:us-east-1:{seed.account_id}:membership/"
        f"{seed.uuid('membership', membership)}/analysistemplate/{seed.uuid('template')}"
    )
    return {
        "seedAudience": {
            "roleArn": role_arn,
            "sqlParameters": {"analysisTemplateArn": template, "parameters": {"segment": "gold"}},
            "sqlComputeConfiguration": {"worker": {"type": "CR.1X", "number": 2 + number % 7}},
        },
        "protectedQueryIdentifier": seed.uuid("query", number),
    }


@dataclass(frozen=True, slots=True)
class _Creation:
    """The course of a creation: how long it takes, its end, and what each end would bring."""

    pending_ms: int
    working_ms: int
    final_status: str
    members: Mapping[str, Members]

    def transitions(self, created_ms: int) -> tuple[Transition, ...]:
        begun_ms = created_ms + self.pending_ms
        ended_ms = begun_ms + self.working_ms
        return (
            Transition(created_ms, "CREATE_PENDING"),
            Transition(begun_ms, "CREATE_IN_PROGRESS"),
            Transition(ended_ms, self.final_status, self.members[self.final_status]),
        )


def _creation(rng: Random, active: Members) -> _Creation:
    """Return up to a minute of waiting, some minutes of work, and the end."""
    return _Creation(
        pending_ms=rng.randrange(25 * SECOND_MS, 60 * SECOND_MS),
        working_ms=rng.randrange(3 * MINUTE_MS, 15 * MINUTE_MS),
        final_status="CREATE_FAILED" if rng.random() < _FAILURE_RATE else "ACTIVE",
        members={"ACTIVE": active, "CREATE_FAILED": status_details(rng)},
    )


def _job_creation(seed: Seed, number: int) -> _Creation:
    rng = seed.random("moves", number)
    sizes = ({"type": "PERCENTAGE", "value": value} for value in (1, 5, 10, 20))
    relevance = [{"audienceSize": size, "score": round(rng.uniform(0.5, 9.5), 3)} for size in sizes]
    metrics = {"relevanceMetrics": relevance, "recallMetric": round(rng.random(), 4)}
    return _creation(rng, {"metrics": metrics})


def _generated_transitions(seed: Seed, number: int, created_ms: int) -> tuple[Transition, ...]:
    creation = _job_creation(seed, number).transitions(created_ms)
    if number < _FIRST_DELETED_JOB:
        return creation
    if number % _JOB_IN_DELETION_EVERY == _FIRST_DELETED_JOB:
        # In deletion when the sandbox starts, so that every status can be seen at once.
        step = number // _JOB_IN_DELETION_EVERY % 2
        started_ms = seed.epoch_ms - (30 + 60 * step) * SECOND_MS
        return creation + _deletion(started_ms, creation[-1].members)
    if number % _DELETED_JOB_EVERY == _FIRST_DELETED_JOB:
        return creation + _deletion(creation[-1].at_ms + 10 * MINUTE_MS, creation[-1].members)
    return creation


def _deletion(started_ms: int, members: Members) -> tuple[Transition, ...]:
    # Deletions fail in the end: a successful one would change the length of a list.
    return (
        Transition(started_ms, "DELETE_PENDING", members),
        Transition(started_ms + MINUTE_MS, "DELETE_IN_PROGRESS", members),
        Transition(started_ms + 6 * MINUTE_MS, "DELETE_FAILED", {**members, **_DELETION_FAILURE}),
    )


def _status_members(seed: Seed, number: int, status: str) -> Members:
    """Return the members that come with a status; a job in deletion had become ACTIVE."""
    ends = _job_creation(seed, number).members
    in_deletion = ends["ACTIVE"]
    members: Mapping[str, Members] = {
        **ends,
        "DELETE_PENDING": in_deletion,
        "DELETE_IN_PROGRESS": in_deletion,
        "DELETE_FAILED": {**in_deletion, **_DELETION_FAILURE},
    }
    return members.get(status, {})


class GenerationJobs:
    """A collection of jobs that are made when first read.

    Jobs are numbered from the newest of the generated history; jobs started later have numbers
    below zero.
    """

    # The newest jobs are close together, so that some are always in progress.
    _FREQUENT_JOBS = 12
    _FREQUENT_GAP_MS = 90_000
    _USUAL_GAP_MS = 37 * MINUTE_MS
    _NEWEST_AGE_MS = 2_000
    _JITTER_MS = 20_000

    def __init__(self, seed: Seed, count: int, model_arns: Sequence[str]) -> None:
        self._seed = seed
        self._count = count
        self._frequent = min(self._FREQUENT_JOBS, count // 3)
        self._model_arns = model_arns
        self._numbers = list(range(count))
        self._started = 0
        self._records: dict[int, Record] = {}
        self._by_arn: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: int) -> Record:
        return self._record(self._numbers[index])

    def find(self, arn: str) -> Record | None:
        number = self._number(arn)
        return None if number is None else self._record(number)

    def start(
        self, now_ms: int, *, seconds: int | None = None, final_status: str = "ACTIVE"
    ) -> Record:
        """Add a job that is newer than all others.

        It has its final status after `seconds`, of which it is pending for a third, or after the
        usual minutes.
        """
        self._started += 1
        number = -self._started
        creation = replace(_job_creation(self._seed, number), final_status=final_status)
        if seconds is not None:
            pending_ms = seconds * SECOND_MS // 3
            working_ms = seconds * SECOND_MS - pending_ms
            creation = replace(creation, pending_ms=pending_ms, working_ms=working_ms)
        created_ms = max(now_ms, self[0].created_ms + 1 if self._numbers else 0)
        record = Record(created_ms, self._members(number), creation.transitions(created_ms))
        self._records[number] = record
        self._numbers.insert(0, number)
        self._by_arn.clear()
        return record

    def set_status(self, arn: str, status: str, now_ms: int) -> str | None:
        """Give a job a status, which it then keeps, and return the status that it had.

        Its update time increases even if the clock stands still. Returns None if there is no job
        with this ARN.
        """
        number = self._number(arn)
        if number is None:
            return None
        record = self._record(number)
        before = record.transition(now_ms)
        updated_ms = max(now_ms, before.at_ms + 1)
        members = _status_members(self._seed, number, status)
        self._records[number] = replace(
            record, transitions=(Transition(updated_ms, status, members),)
        )
        return before.status

    def remove(self, arn: str) -> bool:
        """Remove a job; return False if there is none with this ARN."""
        number = self._number(arn)
        if number is None:
            return False
        self._numbers.remove(number)
        self._records.pop(number, None)
        del self._by_arn[arn]
        return True

    def generated(self, every: int) -> Iterator[tuple[int, Record]]:
        """Yield every nth job of the history with its number, as it was generated."""
        return ((number, self._generate(number)) for number in range(0, self._count, every))

    def history_start_ms(self) -> int:
        """Return a time before all generated jobs."""
        return self._created_ms(self._count) - DAY_MS

    def _number(self, arn: str) -> int | None:
        if not self._by_arn:
            self._by_arn = {generation_job_arn(self._seed, each): each for each in self._numbers}
        return self._by_arn.get(arn)

    def _created_ms(self, number: int) -> int:
        usual = max(0, number - self._frequent)
        gaps_ms = (number - usual) * self._FREQUENT_GAP_MS + usual * self._USUAL_GAP_MS
        jitter_ms = self._seed.integer(self._JITTER_MS, "age", number)
        return self._seed.epoch_ms - self._NEWEST_AGE_MS - gaps_ms - jitter_ms

    def _members(self, number: int) -> Members:
        return _job_members(self._seed, number, self._model_arns)

    def _generate(self, number: int) -> Record:
        created_ms = self._created_ms(number)
        transitions = _generated_transitions(self._seed, number, created_ms)
        return Record(created_ms, self._members(number), transitions)

    def _record(self, number: int) -> Record:
        record = self._records.get(number)
        if record is None:
            record = self._records[number] = self._generate(number)
        return record


# The first job from this number on gets more exports than fit on a page.
_MANY_EXPORTS_FROM = 21
_MANY_EXPORTS = 130


def export_jobs(seed: Seed, jobs: GenerationJobs) -> Iterator[Record]:
    """Generate exports of every third job of the history, provided that it became active.

    They do not depend on which jobs were started, moved or removed before.
    """
    taken: set[int] = set()
    many_done = False
    for job_number, job in jobs.generated(every=3):
        if job.transitions[-1].status != "ACTIVE":
            continue
        many = job_number >= _MANY_EXPORTS_FROM and not many_done
        many_done = many_done or many
        for number in range(_MANY_EXPORTS if many else 1 + job_number % 4):
            created_ms = job.transitions[-1].at_ms + (number + 1) * 2 * MINUTE_MS
            if created_ms >= seed.epoch_ms:
                break
            while created_ms in taken:
                created_ms += 1
            taken.add(created_ms)
            yield _export_job(seed, job.fixed, number, created_ms)


def _export_job(seed: Seed, job: Members, number: int, created_ms: int) -> Record:
    arn = job["audienceGenerationJobArn"]
    rng = seed.random("export", arn, number)
    percent = rng.random() < EVEN
    size = {
        "type": "PERCENTAGE" if percent else "ABSOLUTE",
        "value": rng.choice((1, 5, 10) if percent else (50_000, 250_000)),
    }
    fixed = {
        "name": f"Export {number + 1} of {job['name']}"[:63],
        **description(rng),
        "audienceGenerationJobArn": arn,
        "audienceSize": size,
    }
    uri = f"s3://audiences-{seed.account_id}/{seed.uuid('export', arn, number)}/"
    creation = _creation(rng, {"outputLocation": uri})
    return Record(created_ms, fixed, creation.transitions(created_ms))
