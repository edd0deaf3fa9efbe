"""The generation jobs of an account: invented one by one, when somebody looks at them."""

from collections.abc import Sequence

from gateway.sandbox.catalog import DAY_MS, MINUTE_MS
from gateway.sandbox.lifecycle import job_moves
from gateway.sandbox.origin import Origin
from gateway.sandbox.records import Members, Record
from gateway.sandbox.vocabulary import audience_name, description

# The newest jobs follow each other closely, so that some are always under way.
_LIVELY_JOBS = 12
_LIVELY_GAP_MS = 90_000
_QUIET_GAP_MS = 37 * MINUTE_MS
_NEWEST_AGE_MS = 2_000
_JITTER_MS = 20_000
_COLLABORATIONS = 4
_PARTNERS = ("111122223333", "222233334444", "333344445555", "999988887777")


class GenerationJobs:
    """A shelf of jobs; a job's number is its place in the history, below zero if started later."""

    def __init__(self, origin: Origin, count: int, configured_arns: Sequence[str]) -> None:
        self._origin = origin
        self._lively = min(_LIVELY_JOBS, count // 3)
        self._configured_arns = configured_arns
        self._numbers = list(range(count))
        self._started_ms: dict[int, int] = {}
        self._records: dict[int, Record] = {}
        self._by_arn: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, position: int) -> Record:
        return self._record(self._numbers[position])

    def find(self, arn: str) -> Record | None:
        """Give the job with this ARN."""
        if not self._by_arn:
            self._by_arn = {self._arn(number): number for number in self._numbers}
        number = self._by_arn.get(arn)
        return None if number is None else self._record(number)

    def start(self, now_ms: int) -> Record:
        """Begin one more job, newer than all others."""
        newest_ms = self[0].created_ms if self._numbers else 0
        number = -1 - len(self._started_ms)
        self._started_ms[number] = max(now_ms, newest_ms + 1)
        self._numbers.insert(0, number)
        self._by_arn.clear()
        return self._record(number)

    def remove(self, arn: str) -> bool:
        """Take a job away, and say whether it was there."""
        if self.find(arn) is None:
            return False
        self._numbers.remove(self._by_arn.pop(arn))
        return True

    def oldest_ms(self) -> int:
        """Give a moment that all of the first jobs are younger than."""
        return self._created_ms(len(self._numbers)) - DAY_MS

    def _arn(self, number: int) -> str:
        return self._origin.arn("audience-generation-job", self._origin.uuid("job", number))

    def _created_ms(self, number: int) -> int:
        if number in self._started_ms:
            return self._started_ms[number]
        quiet = max(0, number - self._lively)
        age = _NEWEST_AGE_MS + (number - quiet) * _LIVELY_GAP_MS + quiet * _QUIET_GAP_MS
        return self._origin.epoch_ms - age - self._origin.number(_JITTER_MS, "age", number)

    def _record(self, number: int) -> Record:
        record = self._records.get(number)
        if record is None:
            created_ms = self._created_ms(number)
            chance = self._origin.random("moves", number)
            moves = job_moves(chance, number, created_ms, self._origin.epoch_ms)
            record = Record(created_ms, self._fixed(number), moves)
            self._records[number] = record
        return record

    def _fixed(self, number: int) -> Members:
        origin, chance = self._origin, self._origin.random("job", number)
        fixed: dict[str, object] = {
            "audienceGenerationJobArn": self._arn(number),
            "name": audience_name(chance),
            **description(chance),
            "configuredAudienceModelArn": chance.choice(self._configured_arns),
            "includeSeedInOutput": chance.random() < 0.5,  # noqa: PLR2004 - half of them
            "tags": {"cost-center": f"{chance.randrange(100, 999)}", "näme": "wert / value"},
        }
        if number % 4:
            fixed["collaborationId"] = origin.collaboration(chance.randrange(_COLLABORATIONS))
            fixed["startedBy"] = chance.choice(_PARTNERS)
        return {**fixed, **_seed(origin, number, chance.randrange(_COLLABORATIONS))}


def _seed(origin: Origin, number: int, membership: int) -> Members:
    bucket = f"s3://seeds-{origin.account_id}/{origin.uuid('seed', number)}.jsonl"
    seed = {"dataSource": {"s3Uri": bucket}, "roleArn": origin.role("audience-seed")}
    if number % 5:
        return {"seedAudience": seed}
    template = (
        f"arn:aws:cleanrooms:us-east-1:{origin.account_id}:membership/"
        f"{origin.uuid('membership', membership)}/analysistemplate/{origin.uuid('template')}"
    )
    return {
        "seedAudience": {
            "roleArn": origin.role("audience-seed"),
            "sqlParameters": {"analysisTemplateArn": template, "parameters": {"segment": "gold"}},
            "sqlComputeConfiguration": {"worker": {"type": "CR.1X", "number": 2 + number % 7}},
        },
        "protectedQueryIdentifier": origin.uuid("query", number),
    }
