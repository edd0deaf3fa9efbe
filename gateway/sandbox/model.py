"""What botocore's service model says about the operations the sandbox answers."""

from functools import cache

from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel, Shape

SERVICE = "cleanroomsml"

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


@cache
def service_model() -> ServiceModel:
    """Load the model botocore ships; a patched one in somebody's home folder is not asked."""
    loader = Loader(
        extra_search_paths=[Loader.BUILTIN_DATA_PATH], include_default_search_paths=False
    )
    return ServiceModel(loader.load_service_model(SERVICE, "service-2"), service_name=SERVICE)


@cache
def operation_model(operation: str) -> OperationModel:
    """Give the model of one operation."""
    return service_model().operation_model(operation)


def input_members(operation: str) -> dict[str, Shape]:
    """Give the members an operation takes, by the name the model has for them."""
    shape = operation_model(operation).input_shape
    return dict(shape.members) if shape else {}


def signing_name() -> str:
    """Give the service name that a signature's scope must carry."""
    return service_model().signing_name
