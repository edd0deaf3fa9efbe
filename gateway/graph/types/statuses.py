"""The statuses of all object types, which their filters name too."""

from enum import Enum

import strawberry
from strawberry import enum_value

from gateway.graph.types.values import UNKNOWN, UNKNOWN_VALUE


@strawberry.enum(description="The status of an audience export job.")
class AudienceExportJobStatus(Enum):
    CREATE_PENDING = enum_value("CREATE_PENDING", description="The export has not started.")
    CREATE_IN_PROGRESS = enum_value("CREATE_IN_PROGRESS", description="The export is running.")
    CREATE_FAILED = enum_value(
        "CREATE_FAILED", description="The export has failed; `statusDetails` says why."
    )
    ACTIVE = enum_value("ACTIVE", description="The export is complete.")
    UNKNOWN = enum_value(UNKNOWN, description=UNKNOWN_VALUE)


@strawberry.enum(description="The status of an audience generation job.")
class AudienceGenerationJobStatus(Enum):
    CREATE_PENDING = enum_value("CREATE_PENDING", description="The job has not started.")
    CREATE_IN_PROGRESS = enum_value("CREATE_IN_PROGRESS", description="The job is running.")
    CREATE_FAILED = enum_value(
        "CREATE_FAILED", description="The job has failed; `statusDetails` says why."
    )
    ACTIVE = enum_value("ACTIVE", description="The audience is complete and can be exported.")
    DELETE_PENDING = enum_value("DELETE_PENDING", description="Deletion has not started.")
    DELETE_IN_PROGRESS = enum_value("DELETE_IN_PROGRESS", description="The job is being deleted.")
    DELETE_FAILED = enum_value(
        "DELETE_FAILED", description="Deletion has failed; `statusDetails` says why."
    )
    UNKNOWN = enum_value(UNKNOWN, description=UNKNOWN_VALUE)


@strawberry.enum(description="The status of an audience model.")
class AudienceModelStatus(Enum):
    CREATE_PENDING = enum_value("CREATE_PENDING", description="Training has not started.")
    CREATE_IN_PROGRESS = enum_value("CREATE_IN_PROGRESS", description="The model is in training.")
    CREATE_FAILED = enum_value(
        "CREATE_FAILED", description="Training has failed; `statusDetails` says why."
    )
    ACTIVE = enum_value("ACTIVE", description="The model can be configured and used.")
    DELETE_PENDING = enum_value("DELETE_PENDING", description="Deletion has not started.")
    DELETE_IN_PROGRESS = enum_value("DELETE_IN_PROGRESS", description="The model is being deleted.")
    DELETE_FAILED = enum_value(
        "DELETE_FAILED", description="Deletion has failed; `statusDetails` says why."
    )
    UNKNOWN = enum_value(UNKNOWN, description=UNKNOWN_VALUE)


@strawberry.enum(description="The status of a configured audience model.")
class ConfiguredAudienceModelStatus(Enum):
    ACTIVE = enum_value("ACTIVE", description="The model can be used.")
    UNKNOWN = enum_value(UNKNOWN, description=UNKNOWN_VALUE)


@strawberry.enum(description="The status of a training dataset.")
class TrainingDatasetStatus(Enum):
    ACTIVE = enum_value("ACTIVE", description="The dataset can be used.")
    UNKNOWN = enum_value(UNKNOWN, description=UNKNOWN_VALUE)
