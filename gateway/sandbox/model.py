"""What botocore's service models say about the operations the sandbox answers."""

from functools import cache

from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel, Shape, StructureShape

SERVICE = "cleanroomsml"
STS = "sts"

OPERATIONS = (
    "ListAudienceGenerationJobs",
    "GetAudienceGenerationJob",
    "ListAudienceExportJobs",
    "ListConfiguredAudienceModels",
    "GetConfiguredAudienceModel",
    "ListAudienceModels",
    "GetAudienceModel",
    "ListTrainingDatasets",
    "GetTrainingDataset",
)

ASSUME_ROLE = "AssumeRoleWithWebIdentity"
# The last two are no operations of AWS: so we call asking for the issuer's pages.
UNSIGNED_OPERATIONS = (ASSUME_ROLE, "GetJwks", "GetOpenIdConfiguration")


@cache
def service_model(service: str = SERVICE) -> ServiceModel:
    """Load the model botocore ships; a patched one in somebody's home folder is not asked."""
    loader = Loader(
        extra_search_paths=[Loader.BUILTIN_DATA_PATH], include_default_search_paths=False
    )
    return ServiceModel(loader.load_service_model(service, "service-2"), service_name=service)


@cache
def operation_model(operation: str) -> OperationModel:
    """Give the model of one operation."""
    service = STS if operation == ASSUME_ROLE else SERVICE
    return service_model(service).operation_model(operation)


def input_shape(operation: str) -> StructureShape:
    """Give the shape of what an operation takes."""
    shape = operation_model(operation).input_shape
    if shape is None:
        raise LookupError(f"{operation} has no input")
    return shape


def input_members(operation: str) -> dict[str, Shape]:
    """Give the members an operation takes, by the name the model has for them."""
    return dict(input_shape(operation).members)


def signing_name() -> str:
    """Give the service name that a signature's scope must carry."""
    return service_model().signing_name
