"""The enumerations of the service model, each with a place for what AWS adds tomorrow."""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, TypeVar

import strawberry
from strawberry import enum_value

_TOMORROW = "A value that AWS has added since this version of the gateway."


@strawberry.enum(description="How far an audience generation job has come.")
class AudienceGenerationJobStatus(Enum):
    """Shape AudienceGenerationJobStatus."""

    CREATE_PENDING = enum_value("CREATE_PENDING", description="The job waits for its start.")
    CREATE_IN_PROGRESS = enum_value("CREATE_IN_PROGRESS", description="The job is running.")
    CREATE_FAILED = enum_value(
        "CREATE_FAILED", description="The job has failed; `statusDetails` says why."
    )
    ACTIVE = enum_value("ACTIVE", description="The audience is there and can be exported.")
    DELETE_PENDING = enum_value("DELETE_PENDING", description="The job waits for its deletion.")
    DELETE_IN_PROGRESS = enum_value("DELETE_IN_PROGRESS", description="The job is being deleted.")
    DELETE_FAILED = enum_value(
        "DELETE_FAILED", description="The deletion has failed; `statusDetails` says why."
    )
    UNKNOWN = enum_value("UNKNOWN", description=_TOMORROW)


@strawberry.enum(description="What the value of an audience size counts.")
class AudienceSizeType(Enum):
    """Shape AudienceSizeType."""

    ABSOLUTE = enum_value("ABSOLUTE", description="People.")
    PERCENTAGE = enum_value("PERCENTAGE", description="Percents of the whole audience.")
    UNKNOWN = enum_value("UNKNOWN", description=_TOMORROW)


@strawberry.enum(description="The size of a worker.")
class WorkerComputeType(Enum):
    """Shape WorkerComputeType, whose values hold a dot that GraphQL does not allow."""

    CR_1X = enum_value("CR.1X", description="AWS calls it `CR.1X`.")
    CR_4X = enum_value("CR.4X", description="AWS calls it `CR.4X`.")
    UNKNOWN = enum_value("UNKNOWN", description=_TOMORROW)


@strawberry.enum(description="How far an audience model has come.")
class AudienceModelStatus(Enum):
    """Shape AudienceModelStatus."""

    CREATE_PENDING = enum_value("CREATE_PENDING", description="The model waits for its training.")
    CREATE_IN_PROGRESS = enum_value("CREATE_IN_PROGRESS", description="The model is in training.")
    CREATE_FAILED = enum_value(
        "CREATE_FAILED", description="The training has failed; `statusDetails` says why."
    )
    ACTIVE = enum_value("ACTIVE", description="The model can be configured and used.")
    DELETE_PENDING = enum_value("DELETE_PENDING", description="The model waits for its deletion.")
    DELETE_IN_PROGRESS = enum_value("DELETE_IN_PROGRESS", description="It is being deleted.")
    DELETE_FAILED = enum_value(
        "DELETE_FAILED", description="The deletion has failed; `statusDetails` says why."
    )
    UNKNOWN = enum_value("UNKNOWN", description=_TOMORROW)


@strawberry.enum(description="How far an audience export job has come.")
class AudienceExportJobStatus(Enum):
    """Shape AudienceExportJobStatus."""

    CREATE_PENDING = enum_value("CREATE_PENDING", description="The export waits for its start.")
    CREATE_IN_PROGRESS = enum_value("CREATE_IN_PROGRESS", description="The export is running.")
    CREATE_FAILED = enum_value(
        "CREATE_FAILED", description="The export has failed; `statusDetails` says why."
    )
    ACTIVE = enum_value("ACTIVE", description="The export is there.")
    UNKNOWN = enum_value("UNKNOWN", description=_TOMORROW)


@strawberry.enum(description="The status of a configured audience model.")
class ConfiguredAudienceModelStatus(Enum):
    """Shape ConfiguredAudienceModelStatus."""

    ACTIVE = enum_value("ACTIVE", description="The model can be used.")
    UNKNOWN = enum_value("UNKNOWN", description=_TOMORROW)


@strawberry.enum(description="The status of a training dataset.")
class TrainingDatasetStatus(Enum):
    """Shape TrainingDatasetStatus."""

    ACTIVE = enum_value("ACTIVE", description="The dataset can be used.")
    UNKNOWN = enum_value("UNKNOWN", description=_TOMORROW)


@strawberry.enum(description="What a collaborator is shown of an audience's quality.")
class SharedAudienceMetrics(Enum):
    """Shape SharedAudienceMetrics."""

    ALL = enum_value("ALL", description="All metrics.")
    NONE = enum_value("NONE", description="No metrics.")
    UNKNOWN = enum_value("UNKNOWN", description=_TOMORROW)


@strawberry.enum(description="Where a new child resource gets its tags from.")
class TagOnCreatePolicy(Enum):
    """Shape TagOnCreatePolicy."""

    FROM_PARENT_RESOURCE = enum_value("FROM_PARENT_RESOURCE", description="From its parent.")
    NONE = enum_value("NONE", description="It begins without tags.")
    UNKNOWN = enum_value("UNKNOWN", description=_TOMORROW)


@strawberry.enum(description="What a dataset is about.")
class DatasetType(Enum):
    """Shape DatasetType."""

    INTERACTIONS = enum_value("INTERACTIONS", description="What users did with items, and when.")
    UNKNOWN = enum_value("UNKNOWN", description=_TOMORROW)


@strawberry.enum(description="What a column of a dataset means to the training.")
class ColumnType(Enum):
    """Shape ColumnType."""

    USER_ID = enum_value("USER_ID", description="Who it was.")
    ITEM_ID = enum_value("ITEM_ID", description="What it was done with.")
    TIMESTAMP = enum_value("TIMESTAMP", description="When it was done.")
    CATEGORICAL_FEATURE = enum_value("CATEGORICAL_FEATURE", description="A quality with names.")
    NUMERICAL_FEATURE = enum_value("NUMERICAL_FEATURE", description="A quality with numbers.")
    UNKNOWN = enum_value("UNKNOWN", description=_TOMORROW)


Member = TypeVar("Member", bound=Enum)


def known(enumeration: type[Member], value: str) -> Member:
    """Return the member for a value of AWS, UNKNOWN for one that has none."""
    try:
        return enumeration(value)
    except ValueError:
        return enumeration("UNKNOWN")


def shown(enumeration: type[Enum], member: str = "status") -> Callable[[Mapping[str, Any]], str]:
    """Make what reads a required member as the name it has in an answer."""
    names = {each.value: each.name for each in enumeration}
    return lambda item: names.get(item[member], "UNKNOWN")
