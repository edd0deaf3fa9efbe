"""Nothing of a caller goes anywhere but to the upstream, whatever the upstream says."""

import pytest
from starlette.responses import Response

from gateway.sandbox import CALLERS
from tests.gateways import Gateway, Sandbox
from tests.hostile.process import gateway_process
from tests.hostile.target import JOBS, Target, private_in
from tests.serving import serve
from tests.upstream.recorder import Received, Recorder


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_error_and_leads_nowhere(patient: Target, status: int) -> None:
    """Where it points to, no request arrives; the upstream is asked once."""
    sink = Recorder()
    with serve(sink) as trap:
        answer = patient.struck("redirect", status=status, location=f"{trap}/caught")

    assert (answer.status, answer.code) == (200, "UPSTREAM_INVALID_RESPONSE")
    assert sink.requests == []
    assert trap not in str(answer.content)
    assert private_in(answer) == []
    assert patient.sandbox.count() == 1


def test_a_cookie_of_one_caller_s_answer_is_in_nobody_s_call() -> None:
    """Not in the next caller's, and not in the same caller's either."""

    def bake(_: Received) -> Response:
        crumbs = {"Set-Cookie": "crumb=ada; Path=/"}
        return Response(b'{"audienceGenerationJobs": []}', 200, crumbs)

    upstream = Recorder(bake)
    with serve(upstream) as url:
        # A name, for no cookie jar takes cookies from a bare address.
        named = url.replace("127.0.0.1", "localhost")
        with gateway_process(named, cache_seconds=0) as program:
            gateway = Gateway(program.url, Sandbox(url))
            answers = [gateway.ask(JOBS, caller=who) for who in ("ada", "grace", "ada")]

    assert [answer.errors for answer in answers] == [[], [], []]
    assert [answer.headers.get("set-cookie") for answer in answers] == [None] * 3
    assert [
        CALLERS[who].access_key_id in seen
        for who, seen in zip(("ada", "grace", "ada"), upstream.requests, strict=True)
    ] == [True] * 3
    assert [seen for seen in upstream.requests if "cookie" in seen.headers] == []
