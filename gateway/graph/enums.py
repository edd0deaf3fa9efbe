"""The enumerations of the service model, each with a place for what AWS adds tomorrow."""

from enum import Enum
from typing import TypeVar

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


Member = TypeVar("Member", bound=Enum)


def known(enumeration: type[Member], value: str) -> Member:
    """Return the member for a value of AWS, UNKNOWN for one that has none."""
    try:
        return enumeration(value)
    except ValueError:
        return enumeration("UNKNOWN")
