from gateway.http.concurrency import ConcurrencyLimiter
from gateway.http.health import Health
from tests.gateways import Gateway


def test_health_does_not_call_the_upstream(gateway: Gateway) -> None:
    gateway.sandbox.fault("hang")
    assert [gateway.send("GET", path).status for path in ("/livez", "/readyz")] == [200, 200]
    assert gateway.sandbox.calls == []


def test_draining_comes_before_everything_else() -> None:
    class Overloaded(ConcurrencyLimiter):
        overloaded = True

    health = Health(Overloaded(1))
    states = [health.state]
    health.started = True
    states.append(health.state)
    health.draining = True
    states.append(health.state)

    assert states == ["starting", "overloaded", "draining"]
    assert Health(ConcurrencyLimiter(1), started=True).state == "ready"
