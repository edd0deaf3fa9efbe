"""The URLs of calls: an operation and its parameters as a path and a query.

Source: Smithy 2.0, "HTTP bindings". botocore's serializer makes the same URLs. It allows for any
bodies and headers, and takes eight times as long.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import quote

from gateway.upstream.model import input_shape, service_model


class _Binding(NamedTuple):
    path: str
    """With the names of parameters in braces."""
    query_names: Mapping[str, str]
    """Parameter -> its name in the query. All others are in the path."""


def request_url(endpoint: str, operation: str, parameters: Mapping[str, Any]) -> str:
    """Return the URL of a call: encoded, and ready to be signed.

    `endpoint` is the URL of the service. Raises KeyError for a missing parameter.
    """
    path, query_names = _binding(operation)
    encoded = {name: quote(str(value), safe="") for name, value in parameters.items()}
    query = "&".join(
        f"{query_names[name]}={value}" for name, value in encoded.items() if name in query_names
    )
    url = endpoint.removesuffix("/") + path.format_map(encoded)
    return f"{url}?{query}" if query else url


@cache
def _binding(operation: str) -> _Binding:
    members = input_shape(operation).members
    query_names = {
        name: member.serialization["name"]
        for name, member in members.items()
        if member.serialization["location"] == "querystring"
    }
    return _Binding(service_model().operation_model(operation).http["requestUri"], query_names)
