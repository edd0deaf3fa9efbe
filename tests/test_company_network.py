"""Where a proxy is the only way out, and all certificates are of a private authority."""

import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509

from gateway.auth.credentials import Caller
from gateway.auth.oidc import TokenVerifier
from gateway.auth.oidc_file import Role
from gateway.auth.sts import StsClient
from gateway.errors import UpstreamUnavailableError
from gateway.outgoing import AUTHORITIES
from gateway.upstream.client import CleanRoomsClient
from gateway.upstream.resilience.client import ATTEMPTS
from tests.auth.issuers import claims_of, curve, sandbox_file, token, trusted
from tests.certificates import CertificateAuthority
from tests.doctor.reports import check, oidc_settings
from tests.gateways import Gateway, Sandbox, bearer, gateway_over, still_sandbox
from tests.processes import gateway_process, until
from tests.proxies import REFUSALS, Proxy, serve_proxy
from tests.sandbox.identities import id_token
from tests.serving import serve
from tests.telemetry.collector import CLIENT, Collector, serve_grpc
from tests.upstream.clients import REGION, list_jobs

REGIONS = ("eu-west-1", "us-east-1")
AWS = {region: f"aws.{region}.invalid" for region in REGIONS}
STS = "sts.us-east-1.invalid"
ISSUER = "issuer.invalid"
COLLECTOR = "collector.invalid"
"""Names that no resolver knows."""

CALLER = Caller.from_keys("ASIAPROXYTEST0000000", "secret", "token")
BOTH = """{
  eu: audienceGenerationJobs(first: 1, region: "eu-west-1") { nodes { name } }
  us: audienceGenerationJobs(first: 1, region: "us-east-1") { nodes { name } }
}"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    return CertificateAuthority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def certificate(authority: CertificateAuthority) -> Path:
    names = (*AWS.values(), STS, ISSUER, COLLECTOR)
    return authority.issue(*map(x509.DNSName, names))


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


@contextlib.contextmanager
def collector_at(protocol: str, certificate: Path) -> Iterator[tuple[Collector, int]]:
    collector = Collector()
    if protocol == "grpc":
        with serve_grpc(collector, certificate) as port:
            yield collector, port
    else:
        with serve(collector, certificate=certificate) as url:
            yield collector, port_of(url)


@pytest.mark.parametrize(
    ("protocol", "bundle"), [("http/protobuf", "AWS_CA_BUNDLE"), ("grpc", "SSL_CERT_FILE")]
)
def test_everything_goes_through_the_proxy_and_trusts_the_authority(
    protocol: str,
    bundle: str,
    authority: CertificateAuthority,
    certificate: Path,
    tmp_path: Path,
) -> None:
    """One variable of each kind is enough. The proxy's password is in no line of the log."""
    with (
        serve(app := still_sandbox()) as control_url,
        serve(app, certificate=certificate) as aws_url,
        collector_at(protocol, certificate) as (collector, collector_port),
        serve_proxy(
            Proxy(
                {
                    **{f"{name}:443": port_of(aws_url) for name in (*AWS.values(), STS, ISSUER)},
                    f"{COLLECTOR}:443": collector_port,
                },
                credentials="us er:p@ss:word",
            )
        ) as proxy,
        gateway_process(
            "https://aws.{region}.invalid",
            variables={
                "HTTPS_PROXY": proxy.url.replace("//", "//us%20er:p%40ss%3Aword@"),
                bundle: str(authority.file),
                "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
                "OTEL_EXPORTER_OTLP_ENDPOINT": f"https://{COLLECTOR}:443",
                "OTEL_BSP_SCHEDULE_DELAY": "50",
            },
            sts_url="https://sts.{region}.invalid",
            region="us-east-1",
            regions=",".join(REGIONS),
            callers="oidc",
            oidc_file=sandbox_file(tmp_path, f"https://{ISSUER}"),
            trace_ratio=1,
            log_level="debug",
        ) as program,
    ):
        sandbox = Sandbox(control_url)
        text = id_token(control_url, claims={"iss": f"https://{ISSUER}/oidc"})
        answer = Gateway(program.url, sandbox).ask(BOTH, caller=None, headers=bearer(text))
        until(lambda: len(collector.spans) >= 4)
        calls = sandbox.calls

    assert all(answer.data[region]["nodes"] for region in ("eu", "us"))
    lists = [each for each in calls if each["operation"] == "ListAudienceGenerationJobs"]
    assert sorted(call["region"] for call in lists) == list(REGIONS)
    assert {span.attributes["cloud.region"] for span in collector.spans if span.kind == CLIENT} == {
        *REGIONS
    }
    assert set(proxy.targets) == proxy.routes.keys()
    assert not [line for line in program.output if "p%40ss" in line or "p@ss" in line]


async def call_aws(url: str) -> None:
    async with CleanRoomsClient.open({REGION: url}) as client:
        await list_jobs(client, CALLER)


async def call_sts(url: str) -> None:
    role = Role(role_arn="arn:aws:iam::111122223333:role/reader", match={})
    async with StsClient.open(REGION, url) as client:
        await client.assume_role("a.b.c", role, "proxy-test")


async def verify_token(url: str) -> None:
    await TokenVerifier({url: trusted(url)}).verify(token(claims_of(url), curve()))


CALLS: dict[str, tuple[Callable[[str], Awaitable[None]], int]] = {
    "Clean Rooms ML could not be reached": (call_aws, 1),
    "STS could not be reached": (call_sts, 3),
    "The keys of the token's issuer cannot be fetched": (verify_token, 1),
}
"""The beginning of the message -> the call, and how many attempts it makes."""


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    for name in AUTHORITIES:
        monkeypatch.delenv(name, raising=False)
    for name in ("NO_PROXY", "no_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    with serve_proxy(Proxy({})) as served:
        monkeypatch.setenv("HTTPS_PROXY", served.url.replace("//", "//user:hidden@"))
        yield served


@pytest.mark.parametrize("service", CALLS)
@pytest.mark.parametrize("words", REFUSALS)
async def test_a_refusal_of_the_proxy_says_so(
    service: str, words: str, proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    call, attempts = CALLS[service]
    proxy.refusals = {"service.invalid:443": REFUSALS[words]}
    with caplog.at_level(logging.DEBUG), pytest.raises(UpstreamUnavailableError) as raised:
        await call("https://service.invalid")

    expected = f"{service}: the proxy refused the connection ({words})."
    assert raised.value.message.startswith(expected)
    assert raised.value.aws is None
    assert proxy.targets == ["service.invalid:443"] * attempts
    assert "hidden" not in caplog.text


@pytest.mark.parametrize("service", CALLS)
@pytest.mark.parametrize(
    ("url", "words"),
    [("http://127.0.0.1:9", "it cannot be reached"), ("http://proxy.invalid:1", "host name")],
)
async def test_a_proxy_that_cannot_be_reached_is_named(
    service: str, url: str, words: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", url)
    with pytest.raises(UpstreamUnavailableError) as raised:
        await CALLS[service][0]("https://service.invalid")

    assert raised.value.message.startswith(f"{service}: the proxy refused the connection (")
    assert words in raised.value.message
    assert proxy.targets == []


JOBS = "{ audienceGenerationJobs(first: 1) { nodes { name } } }"


def test_each_refused_service_is_one_error_of_the_request(
    proxy: Proxy, sandbox: Sandbox, tmp_path: Path
) -> None:
    """The sandbox's own issuer needs no proxy, so that its tokens get as far as STS."""
    file = sandbox_file(tmp_path, sandbox.url)
    other = file.read_text(encoding="utf-8").replace(sandbox.url, f"https://{ISSUER}")
    file.write_text(file.read_text(encoding="utf-8") + other, encoding="utf-8")
    tokens = [
        id_token(sandbox.url, claims=claims) for claims in ({}, {"iss": f"https://{ISSUER}/oidc"})
    ]
    with gateway_over(
        sandbox,
        upstream_url=f"https://{AWS[REGION]}",
        sts_url=f"https://{STS}",
        callers={"aws-headers", "oidc"},
        oidc_file=file,
    ) as gateway:
        answers = [gateway.ask(JOBS)]
        answers += [gateway.ask(JOBS, caller=None, headers=bearer(text)) for text in tokens]

    assert [answer.code for answer in answers] == ["UPSTREAM_UNAVAILABLE"] * 3
    messages = [answer.errors[0]["message"] for answer in answers]
    for message, service in zip(messages, CALLS, strict=True):
        assert message.startswith(f"{service}: the proxy refused the connection (HTTP 502).")
    assert proxy.targets.count(f"{AWS[REGION]}:443") == ATTEMPTS
    assert proxy.targets.count(f"{STS}:443") == ATTEMPTS


def test_the_check_says_that_the_proxy_refuses(proxy: Proxy, tmp_path: Path) -> None:
    proxy.refusals = dict.fromkeys([f"{AWS[REGION]}:443", f"{STS}:443"], REFUSALS["HTTP 407"])
    report = check(
        upstream_url=f"https://{AWS[REGION]}",
        sts_url=f"https://{STS}",
        **oidc_settings(tmp_path, f"https://{ISSUER}"),
    )

    for what, words in (
        (f"upstream {REGION}", "HTTP 407"),
        ("STS", "HTTP 407"),
        (f"issuer https://{ISSUER}", "HTTP 502"),
    ):
        report.assert_failed(what, "the proxy refused the connection", words, "HTTPS_PROXY")
    assert "hidden" not in report.printed
