"""The cost of authentication, and the memory that past callers take."""

import os
import resource
import time
from collections.abc import Mapping

import orjson
from joserfc import jwt
from joserfc.jwk import ECKey, Key, RSAKey

from benchmarks.table import Row, at_most, reference
from benchmarks.timing import cpu_ms
from benchmarks.upstream import ROWS, row
from gateway.auth.authenticator import Authenticator, BearerClaim, Identity, Oidc
from gateway.auth.credentials import AwsCredentials, Caller
from gateway.auth.jwks import IssuerKeys
from gateway.auth.oidc import TokenVerifier
from gateway.auth.oidc_file import Issuer, Role
from gateway.auth.sts import Session, SessionCache, StsClient
from gateway.upstream.cache.encryption import decrypt, encrypt
from gateway.upstream.cache.memory import MemoryCache, Stored, Version
from gateway.upstream.resilience.rate_limit import CallerRateLimiter
from gateway.upstream.values import Item, ItemRequest

REGION = "us-east-1"
NAME = "https://issuer.example"
ISSUER = Issuer(
    issuer=NAME,
    audiences=frozenset({"gateway"}),
    role=(Role(match={}, role_arn="arn:aws:iam::123456789012:role/reader"),),
)
HOUR = 3600
CALLERS = 1_000_000
TOKENS = 30_000
KIBIBYTE = 1024


class OwnKeys(IssuerKeys):
    """Keys without an issuer."""

    def __init__(self, keys: Mapping[str, Key]) -> None:
        super().__init__(NAME, None)
        self._own = keys

    def outdated_for(self, key_id: str) -> bool:  # noqa: ARG002  none are fetched
        return False

    def find_known(self, key_id: str) -> Key | None:
        return self._own.get(key_id)


class OwnSts(StsClient):
    """Issues sessions without a network."""

    def __init__(self) -> None:
        super().__init__(None, REGION)

    async def assume_role(self, token: str, role: Role, session_name: str) -> Session:  # noqa: ARG002
        return Session(AwsCredentials("ASIA" + "0" * 16, "s" * 40, "t" * 800), time.time() + HOUR)


def signed_token(key: RSAKey | ECKey, algorithm: str, subject: str) -> str:
    """Sign a token that is valid for an hour."""
    claims = {"iss": NAME, "aud": "gateway", "sub": subject, "exp": int(time.time()) + HOUR}
    return jwt.encode({"alg": algorithm, "kid": key.kid}, claims, key, algorithms=[algorithm])


def authenticator(*keys: RSAKey | ECKey) -> Authenticator:
    """Make an authenticator that trusts these keys."""
    own: dict[str, Key] = {str(key.kid): key for key in keys}
    verifier = TokenVerifier({NAME: ISSUER}, keys_of=lambda _: OwnKeys(own))
    oidc = Oidc(verifier, SessionCache(OwnSts(), CallerRateLimiter(0)))
    return Authenticator(frozenset({"oidc"}), allow_long_term_keys=False, oidc=oidc)


async def identify(ours: Authenticator, headers: list[tuple[bytes, bytes]]) -> Identity:
    """Identify a request as the endpoint does, without limits."""

    async def no_limit(_: bytes) -> None:
        pass

    claim = ours.read(headers)
    return await ours.identify(claim, no_limit) if isinstance(claim, BearerClaim) else claim


async def measure() -> list[Row]:
    """Measure verification, sealing, and the memory of many."""
    return [*await _verification(), *_sealing(), *await _memory()]


async def _verification() -> list[Row]:
    rsa = RSAKey.generate_key(2048, {"kid": "rsa"})
    ours = authenticator(rsa)
    known = [(b"authorization", b"Bearer " + signed_token(rsa, "RS256", "ada").encode())]
    texts = iter([signed_token(rsa, "RS256", f"caller {number}") for number in range(400)])

    async def unknown() -> None:
        await identify(ours, [(b"authorization", b"Bearer " + next(texts).encode())])

    async def warm() -> None:
        assert isinstance(await identify(ours, known), Caller)

    await warm()
    return [
        at_most(
            "Warm OIDC caller: CPU of verification and look-up", await cpu_ms(warm), 1, "ms", 3
        ),
        reference("  the first time, RS256 and without STS", await cpu_ms(unknown, 300), "ms"),
    ]


def _sealing() -> list[Row]:
    page = orjson.dumps([[row(number) for number in range(ROWS)], "t" * 300])
    secret, key, times = os.urandom(32), "k" * 64, 1000
    before = time.process_time()
    for _ in range(times):
        sealed = encrypt(secret, key, 0.0, page)
    between = time.process_time()
    for _ in range(times):
        decrypt(secret, key, sealed)
    after = time.process_time()
    return [
        at_most(
            "Sealing a page of 100 items: CPU", (between - before) / times * 1000, 0.2, "ms", 3
        ),
        reference("  opening it", (after - between) / times * 1000, "ms", 3),
    ]


async def _memory() -> list[Row]:
    cache = MemoryCache(16 * KIBIBYTE * KIBIBYTE)
    ec = ECKey.generate_key("P-256", {"kid": "ec"})
    ours = authenticator(ec)
    marks: list[int] = []
    for number in range(CALLERS):
        caller = Caller.from_keys(f"ASIA{number:016d}", f"{number:040d}", "t" * 800)
        stored: Stored[Item] = Stored({"x": "x" * 50}, 0, Version(60), 0)
        await cache.set(caller, caller.fingerprint.hex(), ItemRequest("", "", ()), stored, 60)
        if number * TOKENS % CALLERS < TOKENS:
            text = signed_token(ec, "ES256", f"caller {number}")
            await identify(ours, [(b"authorization", b"Bearer " + text.encode())])
        if number in {CALLERS // 2, CALLERS - 1}:
            marks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    grown = (marks[1] - marks[0]) / KIBIBYTE
    what = f"Memory, second half of {CALLERS:,} callers and {TOKENS:,} tokens: growth of the peak"
    return [at_most(what, grown, 1, "MB")]
