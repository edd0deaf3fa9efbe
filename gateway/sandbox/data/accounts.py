"""The callers and users of the sandbox, and the resources of each account in each region."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

import orjson

from gateway.sandbox.data.resources import (
    DAY_MS,
    MINUTE_MS,
    Collection,
    Record,
    Seed,
    audience_model,
    configured_model,
    configured_model_arn,
    export_jobs,
    generation_job,
    generation_job_arn,
    training_dataset,
)

_ADA = "111122223333"
_GRACE = "222233334444"
_EDITH = "333344445555"
_OTHER = "444455556666"

_DEFAULT_JOBS = 1234
_JOBS = {_GRACE: 240, _EDITH: 7}


@dataclass(frozen=True, slots=True)
class SandboxCaller:
    """A key pair of an account; an account can have several."""

    name: str
    account_id: str
    access_key_id: str
    # Public, but still kept out of logs: against AWS the same code handles real secrets.
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(repr=False)
    note: str
    role: str = "sandbox"

    @property
    def arn(self) -> str:
        return f"arn:aws:sts::{self.account_id}:assumed-role/{self.role}/{self.name}"


def _caller(name: str, account_id: str, note: str, *, long_term: bool = False) -> SandboxCaller:
    prefix, id_part = "AKIA" if long_term else "ASIA", name.replace("_", "").upper()
    # Real session tokens are base64, so they contain the characters that need encoding.
    token = f"FwoGZXIvYXdzSandbox//{name}+demo+session+token/public/value=="
    return SandboxCaller(
        name=name,
        account_id=account_id,
        access_key_id=f"{prefix}SANDBOX{id_part:0<9.9}",
        secret_access_key=f"{name}/sandbox+secret/".ljust(40, "x"),
        session_token=None if long_term else token,
        note=note,
    )


_CALLERS = (
    _caller("ada", _ADA, "over a thousand jobs"),
    _caller("grace", _GRACE, "some 240 jobs"),
    _caller("edith", _EDITH, "seven jobs"),
    _caller("ada_again", _ADA, "ada's account under another identity"),
    _caller("longterm", _ADA, "ada's account by a long-term key, no session token", long_term=True),
    _caller("expired", _OTHER, "every call: 403 ExpiredTokenException"),
    _caller("denied", _OTHER, "every call: 403 AccessDeniedException"),
)
CALLERS: Mapping[str, SandboxCaller] = MappingProxyType({each.name: each for each in _CALLERS})
ANONYMOUS = SandboxCaller("anonymous", "", "", "", None, "the caller of unsigned operations")

ROLE_NAME = "clean-rooms-reader"


@dataclass(frozen=True, slots=True)
class User:
    """A user of the OIDC issuer, who may assume the role of one account."""

    name: str
    account_id: str
    groups: tuple[str, ...]

    @property
    def claims(self) -> dict[str, object]:
        """The claims of an ID token beside the registered ones."""
        return {"email": f"{self.name}@example.com", "groups": list(self.groups)}

    @property
    def role_arn(self) -> str:
        return f"arn:aws:iam::{self.account_id}:role/{ROLE_NAME}"


_USERS = (
    User("ada", _ADA, ("analysts",)),
    User("grace", _GRACE, ("analysts", "eu")),
    User("edith", _EDITH, ("guests",)),
)
USERS: Mapping[str, User] = MappingProxyType({user.name: user for user in _USERS})
ROLE_ARNS: Mapping[str, str] = MappingProxyType({user.name: user.role_arn for user in _USERS})


class ListCollection:
    """A collection whose records are all made in advance."""

    def __init__(self, records: Iterable[Record], arn_member: str = "") -> None:
        self._records = sorted(records, key=lambda record: -record.created_ms)
        self._by_arn = {record.fixed.get(arn_member): record for record in self._records}

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> Record:
        return self._records[index]

    def find(self, arn: str) -> Record | None:
        return self._by_arn.get(arn)


def index_after(collection: Collection, created_ms: int) -> int:
    """Return the index of the first resource older than `created_ms`."""
    return bisect_right(
        range(len(collection)), -created_ms, key=lambda index: -collection[index].created_ms
    )


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
        self._frequent = min(self._FREQUENT_JOBS, count // 3)
        self._model_arns = model_arns
        self._numbers = list(range(count))
        self._started_ms: dict[int, int] = {}
        self._records: dict[int, Record] = {}
        self._by_arn: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: int) -> Record:
        return self._record(self._numbers[index])

    def find(self, arn: str) -> Record | None:
        if not self._by_arn:
            self._by_arn = {generation_job_arn(self._seed, each): each for each in self._numbers}
        number = self._by_arn.get(arn)
        return None if number is None else self._record(number)

    def start(self, now_ms: int) -> Record:
        """Add a job that is newer than all others."""
        newest_ms = self[0].created_ms if self._numbers else 0
        number = -1 - len(self._started_ms)
        self._started_ms[number] = max(now_ms, newest_ms + 1)
        self._numbers.insert(0, number)
        self._by_arn.clear()
        return self._record(number)

    def remove(self, arn: str) -> bool:
        """Remove a job; return False if there is none with this ARN."""
        if self.find(arn) is None:
            return False
        self._numbers.remove(self._by_arn.pop(arn))
        return True

    def history_start_ms(self) -> int:
        """Return a time before all generated jobs."""
        return self._created_ms(len(self._numbers)) - DAY_MS

    def _created_ms(self, number: int) -> int:
        if number in self._started_ms:
            return self._started_ms[number]
        usual = max(0, number - self._frequent)
        gaps_ms = (number - usual) * self._FREQUENT_GAP_MS + usual * self._USUAL_GAP_MS
        jitter_ms = self._seed.integer(self._JITTER_MS, "age", number)
        return self._seed.epoch_ms - self._NEWEST_AGE_MS - gaps_ms - jitter_ms

    def _record(self, number: int) -> Record:
        record = self._records.get(number)
        if record is None:
            created_ms = self._created_ms(number)
            record = generation_job(self._seed, number, created_ms, self._model_arns)
            self._records[number] = record
        return record


class Account:
    """The collections of one account in one region."""

    _DATASETS = 3
    _MODELS = 5
    _MAX_CONFIGURED_MODELS = 12

    def __init__(self, seed: Seed, jobs: int) -> None:
        self._seed = seed
        configured = range(min(self._MAX_CONFIGURED_MODELS, 2 + jobs // 40))
        configured_arns = [configured_model_arn(seed, number) for number in configured]
        self.generation_jobs = GenerationJobs(seed, jobs, configured_arns)
        start_ms = self.generation_jobs.history_start_ms()

        datasets = [
            training_dataset(seed, n, start_ms - 90 * DAY_MS) for n in range(self._DATASETS)
        ]
        arns = [each.fixed["trainingDatasetArn"] for each in datasets]
        models = [
            audience_model(seed, n, arns[n % len(arns)], start_ms - 60 * DAY_MS)
            for n in range(self._MODELS)
        ]
        arns = [each.fixed["audienceModelArn"] for each in models[1:]]  # the first one failed
        configurations = [
            configured_model(seed, n, arns[n % len(arns)], start_ms - 30 * DAY_MS)
            for n in configured
        ]
        self.training_datasets = ListCollection(datasets, "trainingDatasetArn")
        self.audience_models = ListCollection(models, "audienceModelArn")
        self.configured_models = ListCollection(configurations, "configuredAudienceModelArn")
        # The JSON of list rows that cannot change any more, by operation and `created_ms`.
        self.settled_rows: dict[tuple[str, int], orjson.Fragment] = {}

    @cached_property
    def export_jobs(self) -> Collection:
        # Not made in advance: it reads a third of the jobs.
        return ListCollection(export_jobs(self._seed, self.generation_jobs))


class Accounts:
    """All accounts, each made when it is first used; `jobs` is the number of ada's jobs."""

    def __init__(self, seed: int, epoch_ms: int, jobs: int | None) -> None:
        self._seed = seed
        self._epoch_ms = epoch_ms
        self._jobs = {**_JOBS, _ADA: _DEFAULT_JOBS if jobs is None else jobs}
        self._accounts: dict[tuple[str, str], Account] = {}

    def get(self, account_id: str, region: str) -> Account:
        account = self._accounts.get((account_id, region))
        if account is None:
            seed = Seed(self._seed, account_id, region, self._epoch_ms)
            account = Account(seed, self._jobs.get(account_id, 0))
            self._accounts[account_id, region] = account
        return account
