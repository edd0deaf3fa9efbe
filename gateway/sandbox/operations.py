"""Which shelf each operation reads, and by what name."""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.sandbox.records import Shelf
from gateway.sandbox.worlds import World


@dataclass(frozen=True, slots=True)
class Listing:
    """A list operation: its shelf, and the member of the answer that holds the rows."""

    shelf: Callable[[World], Shelf]
    rows: str


@dataclass(frozen=True, slots=True)
class Reading:
    """A Get operation: its shelf, and the member of the input that names the object."""

    shelf: Callable[[World], Shelf]
    arn: str


def _generation_jobs(world: World) -> Shelf:
    return world.generation_jobs


def _export_jobs(world: World) -> Shelf:
    return world.export_jobs


def _configured_models(world: World) -> Shelf:
    return world.configured_models


def _audience_models(world: World) -> Shelf:
    return world.audience_models


def _training_datasets(world: World) -> Shelf:
    return world.training_datasets


LISTINGS = {
    "ListAudienceGenerationJobs": Listing(_generation_jobs, "audienceGenerationJobs"),
    "ListAudienceExportJobs": Listing(_export_jobs, "audienceExportJobs"),
    "ListConfiguredAudienceModels": Listing(_configured_models, "configuredAudienceModels"),
    "ListAudienceModels": Listing(_audience_models, "audienceModels"),
    "ListTrainingDatasets": Listing(_training_datasets, "trainingDatasets"),
}

READINGS = {
    "GetAudienceGenerationJob": Reading(_generation_jobs, "audienceGenerationJobArn"),
    "GetConfiguredAudienceModel": Reading(_configured_models, "configuredAudienceModelArn"),
    "GetAudienceModel": Reading(_audience_models, "audienceModelArn"),
    "GetTrainingDataset": Reading(_training_datasets, "trainingDatasetArn"),
}
