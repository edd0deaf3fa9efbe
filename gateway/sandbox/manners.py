"""How the control API reads JSON, writes it, and explains a bad order."""

import json
from collections.abc import Awaitable, Callable
from http import HTTPStatus

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.sandbox.orders import OrderError

Endpoint = Callable[[Request], Awaitable[Response]]


def control_route(path: str, method: str, endpoint: Endpoint) -> Route:
    """Give the route of an endpoint whose bad orders are explained."""

    async def guarded(request: Request) -> Response:
        try:
            return await endpoint(request)
        except OrderError as error:
            return answer({"message": str(error)}, HTTPStatus.BAD_REQUEST)

    return Route(path, guarded, methods=[method])


async def read_json(request: Request) -> dict[str, object]:
    """Give the object that the body is."""
    try:
        order = json.loads(await request.body())
    except ValueError:
        order = None
    if not isinstance(order, dict):
        raise OrderError('The body is no JSON object; send one such as {"fault": "throttle"}.')
    return order


def answer(value: object, status: int = HTTPStatus.OK) -> Response:
    """Give the response that is this JSON."""
    return Response(orjson.dumps(value), status, media_type="application/json")
