"""Everything an account has in a region, made when it is first asked for."""

from functools import cached_property
from typing import TYPE_CHECKING

from gateway.sandbox import callers, catalog
from gateway.sandbox.exports import export_jobs
from gateway.sandbox.jobs import GenerationJobs
from gateway.sandbox.origin import Origin
from gateway.sandbox.records import Shelf, ShortShelf

if TYPE_CHECKING:
    import orjson

DEFAULT_JOBS = 1234
_JOBS = {callers.GRACE_ACCOUNT: 240, callers.EDITH_ACCOUNT: 7}
_MOST_CONFIGURED_MODELS = 12
_MOST_MODELS = 5
_MOST_DATASETS = 3


class World:
    """The shelves of one account in one region."""

    def __init__(self, origin: Origin, count: int) -> None:
        configured = min(_MOST_CONFIGURED_MODELS, 2 + count // 40)
        arns = [
            origin.arn("configured-audience-model", origin.uuid("configured", number))
            for number in range(configured)
        ]
        self.generation_jobs = GenerationJobs(origin, count, arns)
        self._origin = origin
        before_ms = self.generation_jobs.oldest_ms()
        datasets = catalog.training_datasets(origin, _MOST_DATASETS, before_ms)
        models = catalog.audience_models(origin, datasets, _MOST_MODELS, before_ms)
        configurations = catalog.configured_models(origin, models, configured, before_ms)
        self.training_datasets = ShortShelf(datasets, "trainingDatasetArn")
        self.audience_models = ShortShelf(models, "audienceModelArn")
        self.configured_models = ShortShelf(configurations, "configuredAudienceModelArn")
        # Rows that cannot change any more, as the JSON text they were sent as.
        self.sent_rows: dict[tuple[str, int], orjson.Fragment] = {}

    @cached_property
    def export_jobs(self) -> Shelf:
        """The exports, which take a look at every third job to know."""
        return ShortShelf(export_jobs(self._origin, self.generation_jobs))


class Worlds:
    """The worlds of all accounts."""

    def __init__(self, seed: int, epoch_ms: int, jobs: int | None) -> None:
        self._seed = seed
        self._epoch_ms = epoch_ms
        self._jobs = {callers.ADA_ACCOUNT: DEFAULT_JOBS if jobs is None else jobs, **_JOBS}
        self._worlds: dict[tuple[str, str], World] = {}

    def of(self, account_id: str, region: str) -> World:
        """Give what the account has in the region."""
        place = (account_id, region)
        if place not in self._worlds:
            origin = Origin(self._seed, account_id, region, self._epoch_ms)
            self._worlds[place] = World(origin, self._jobs.get(account_id, 0))
        return self._worlds[place]
