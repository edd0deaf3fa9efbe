"""The unsigned control API under `/_sandbox/`: faults, the log of calls, new and vanished jobs."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.sandbox.callers import CALLERS, SandboxCaller
from gateway.sandbox.calls import CallLog
from gateway.sandbox.faults import FAULTS
from gateway.sandbox.manners import Endpoint, answer, control_route, read_json
from gateway.sandbox.orders import OrderError, read_order
from gateway.sandbox.outbreaks import Outbreaks
from gateway.sandbox.outputs import MILLISECONDS
from gateway.sandbox.people import PEOPLE
from gateway.sandbox.sessions import Sessions
from gateway.sandbox.verification import Clock
from gateway.sandbox.worlds import World, Worlds

_DEFAULT_REGION = "us-east-1"


class Control:
    """Answers `/_sandbox/`, but for what concerns the issuer."""

    def __init__(
        self,
        outbreaks: Outbreaks,
        calls: CallLog,
        worlds: Worlds,
        sessions: Sessions,
        clock: Clock,
    ) -> None:
        self._outbreaks = outbreaks
        self._calls = calls
        self._worlds = worlds
        self._sessions = sessions
        self._clock = clock

    def routes(self) -> list[Route]:
        """Give the paths, relative to `/_sandbox`."""
        endpoints: list[tuple[str, str, Endpoint]] = [
            ("/callers", "GET", self._show_callers),
            ("/faults", "GET", self._show_faults),
            ("/faults", "POST", self._switch_on),
            ("/faults", "DELETE", self._heal),
            ("/calls", "GET", self._show_calls),
            ("/calls", "DELETE", self._forget_calls),
            ("/jobs", "POST", self._start_job),
            ("/jobs", "DELETE", self._remove_job),
        ]
        return [control_route(*endpoint) for endpoint in endpoints]

    async def _show_callers(self, _request: Request) -> Response:
        people = [
            {"name": name, "role_arn": person.role_arn, "claims": person.claims}
            for name, person in PEOPLE.items()
        ]
        callers = [_caller(caller) for caller in CALLERS.values()]
        return answer({"callers": callers, "people": people})

    async def _show_faults(self, _request: Request) -> Response:
        known = [
            {"fault": fault.name, "description": fault.description, "settings": fault.defaults}
            for fault in FAULTS.values()
        ]
        return answer({"active": self._outbreaks.describe(), "known": known})

    async def _switch_on(self, request: Request) -> Response:
        outbreak = read_order(await read_json(request), self._sessions.access_key_ids())
        self._outbreaks.add(outbreak)
        return answer({"active": self._outbreaks.describe()})

    async def _heal(self, request: Request) -> Response:
        name = request.query_params.get("fault")
        if name is not None and name not in FAULTS:
            raise OrderError(f"fault is {name!r}; known are: {', '.join(sorted(FAULTS))}.")
        healed = self._outbreaks.heal(lambda outbreak: name in {None, outbreak.fault.name})
        return answer({"healed": healed})

    async def _show_calls(self, _request: Request) -> Response:
        return answer({"calls": self._calls.describe()})

    async def _forget_calls(self, _request: Request) -> Response:
        return answer({"forgotten": self._calls.clear()})

    async def _start_job(self, request: Request) -> Response:
        order = await read_json(request)
        world = self._world(order)
        now_ms = round(self._clock().timestamp() * MILLISECONDS)
        job = world.generation_jobs.start(now_ms)
        return answer({"audienceGenerationJobArn": job.fixed["audienceGenerationJobArn"]})

    async def _remove_job(self, request: Request) -> Response:
        order = await read_json(request)
        world = self._world(order)
        arn = order.get("audienceGenerationJobArn")
        removed = isinstance(arn, str) and world.generation_jobs.remove(arn)
        if not removed:
            raise OrderError(f"audienceGenerationJobArn is {arn!r}; the account has no such job.")
        return answer({"removed": arn})

    def _world(self, order: dict[str, object]) -> World:
        callers = {caller.access_key_id: caller for caller in CALLERS.values()}
        key, region = order.get("access_key_id"), order.get("region", _DEFAULT_REGION)
        if not isinstance(key, str) or key not in callers:
            raise OrderError(f"access_key_id is {key!r}; known are: {', '.join(sorted(callers))}.")
        if not isinstance(region, str):
            raise OrderError(f"region is {region!r}; accepted is text such as us-east-1.")
        return self._worlds.of(callers[key].account_id, region)


def _caller(caller: SandboxCaller) -> dict[str, str | None]:
    return {
        "name": caller.name,
        "account_id": caller.account_id,
        "access_key_id": caller.access_key_id,
        "secret_access_key": caller.secret_access_key,
        "session_token": caller.session_token,
        "note": caller.note,
    }
