"""GATEWAY_ADMIN_PORT: health and metrics on a port of their own, and not on the main port."""

import signal
import threading
from contextlib import suppress

import httpx

from tests.gateways import Gateway, Sandbox, http
from tests.http.wire import connect
from tests.listeners import reserved_port
from tests.processes import gateway_process, until

PATHS = ("/livez", "/readyz", "/metrics")
ELSEWHERE = ("/", "/graphql", "/graphql?query={__typename}", "/metrics/", "/assets/x.js")
NOT_FOUND = "Nothing is served at this path. Accepted: /livez, /metrics, /readyz."
JOBS = "{ audienceGenerationJobs(first: 2) { nodes { name } } }"


def get(url: str, path: str) -> httpx.Response:
    return http("GET", url + path)


def test_each_port_serves_its_own_paths(sandbox: Sandbox) -> None:
    """All workers serve both."""
    workers = 2
    with (
        reserved_port() as port,
        gateway_process(sandbox.url, workers=workers, admin_port=port, graphiql=True) as process,
    ):
        admin = f"http://127.0.0.1:{port}"
        gateway = Gateway(process.url, sandbox)
        until(lambda: sum("admin port on" in line for line in process.output) == workers)
        asked = gateway.ask(JOBS)
        on_admin = {path: get(admin, path) for path in PATHS}
        elsewhere = [get(admin, path) for path in ELSEWHERE]
        on_main = [gateway.send("GET", path).status for path in PATHS]
        with connect(admin) as connection:
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n")
            malformed = connection.recv(65536)
        code = process.terminate()

    assert len(asked.data["audienceGenerationJobs"]["nodes"]) == 2
    assert [answer.status_code for answer in on_admin.values()] == [200, 200, 200]
    assert "gateway_build_info" in on_admin["/metrics"].text
    assert all(answer.headers["x-request-id"] for answer in on_admin.values())
    assert [answer.status_code for answer in elsewhere] == [404] * len(ELSEWHERE)
    assert all(answer.json()["errors"][0]["message"] == NOT_FOUND for answer in elsewhere)
    assert on_main == [404, 404, 404]
    assert malformed.startswith(b"HTTP/1.1 400 ")
    assert b"The request is malformed." in malformed
    assert code == 0


def test_the_admin_port_is_served_until_the_last_request_has_ended(sandbox: Sandbox) -> None:
    """The main port accepts no more by then."""
    with (
        reserved_port() as port,
        gateway_process(sandbox.url, admin_port=port, cache_seconds=0) as process,
    ):
        admin = f"http://127.0.0.1:{port}"
        gateway = Gateway(process.url, sandbox)
        sandbox.fault("hang")
        running = threading.Thread(target=lambda: ask(gateway))
        running.start()
        until(lambda: sandbox.count() == 1)
        process.send_signal(signal.SIGTERM)
        until(lambda: not accepts(process.url))
        ready, metrics = get(admin, "/readyz"), get(admin, "/metrics")
        sandbox.reset()
        code = process.wait()
        running.join()
        accepted_later = accepts(admin)

    assert (ready.status_code, ready.text) == (503, "draining\n")
    assert "gateway_in_flight_requests 1.0" in metrics.text
    assert code == 0
    assert not accepted_later


def ask(gateway: Gateway) -> None:
    with suppress(httpx.TransportError):
        gateway.ask(JOBS)


def accepts(url: str) -> bool:
    try:
        connect(url).close()
    except ConnectionRefusedError:
        return False
    return True
