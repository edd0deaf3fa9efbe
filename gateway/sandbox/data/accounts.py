"""The callers and users of the sandbox, and the resources of each account in each region."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from weakref import WeakKeyDictionary

import orjson

from gateway.sandbox.data.jobs import GenerationJobs, export_jobs
from gateway.sandbox.data.resources import (
    DAY_MS,
    Collection,
    Record,
    Seed,
    audience_model,
    configured_model,
    configured_model_arn,
    training_dataset,
)

_ADA = "111122223333"
_GRACE = "222233334444"
_EDITH = "333344445555"
_OTHER = "444455556666"

DEFAULT_SEED = 20260102

COLLABORATION_ID = Seed(DEFAULT_SEED).collaboration_id(0)
"""The collaboration of the jobs that are started, which has jobs of each account."""

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
        # The JSON of list rows that cannot change any more. A job whose status is set has a new
        # record, and the row leaves with the old one.
        self.settled_rows = WeakKeyDictionary[Record, orjson.Fragment]()

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

    def owner(self, arn: str) -> Account | None:
        """Return the account in the region that an ARN names, or None if it is no such ARN."""
        match arn.split(":"):
            case ["arn", "aws", "cleanrooms-ml", region, account_id, _]:
                return self.get(account_id, region)
        return None

    def get(self, account_id: str, region: str) -> Account:
        account = self._accounts.get((account_id, region))
        if account is None:
            seed = Seed(self._seed, account_id, region, self._epoch_ms)
            account = Account(seed, self._jobs.get(account_id, 0))
            self._accounts[account_id, region] = account
        return account
