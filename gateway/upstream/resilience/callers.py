"""What AWS has recently said of callers: whose credentials it has accepted, and which it refused.

Anybody can invent any number of credentials. So only a caller of whom AWS has accepted a call, or
whose token the gateway has verified, counts as a caller of their own in limits. All others
together have what one caller has.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, NamedTuple, NoReturn, Protocol, TypeVar

from gateway.auth.credentials import Caller
from gateway.errors import AwsErrorDetails, GatewayError, UnauthenticatedError
from gateway.telemetry.metrics import REJECTIONS

K = TypeVar("K")
V = TypeVar("V")

UNPROVED = b"unproved"
"""The limit key of all callers together whose credentials AWS has not accepted recently."""

PROVED_SECONDS = 600.0
MAX_PROVED = 50_000
"""Callers; some 200 bytes each."""

REFUSED_SECONDS = 10.0
"""Not longer, because AWS accepts new credentials with some delay."""
MAX_REFUSED = 10_000
"""Refusals; some 500 bytes each."""


class RefusedCredentialsError(UnauthenticatedError):
    """AWS has refused these credentials a moment ago: no call was made."""


class Refusal(NamedTuple):
    """The error to raise instead of a call that AWS has refused.

    The refusal itself would keep its traceback, and with that the call and its credentials.
    """

    error_type: type[GatewayError]
    message: str
    aws: AwsErrorDetails | None

    def reject(self) -> NoReturn:
        """Raise the error, and count it."""
        REJECTIONS.labels("refused_credentials").inc()
        raise self.error_type(self.message, aws=self.aws)


class ExpiringStore(Generic[K, V]):
    """Keeps at most `capacity` values, each for `seconds`, and evicts the least recently set."""

    def __init__(
        self, capacity: int, seconds: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._capacity = capacity
        self._seconds = seconds
        self._clock = clock
        self._entries: OrderedDict[K, tuple[V, float]] = OrderedDict()

    def get(self, key: K) -> V | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        value, expires = entry
        if self._clock() >= expires:
            del self._entries[key]
            return None
        return value

    def set(self, key: K, value: V) -> None:
        self._entries[key] = value, self._clock() + self._seconds
        self._entries.move_to_end(key)
        if len(self._entries) > self._capacity:
            self._entries.popitem(last=False)

    def discard(self, key: K) -> None:
        self._entries.pop(key, None)

    def __len__(self) -> int:
        return len(self._entries)


class LimitedCaller(Protocol):
    """What limits know of a caller; see Caller."""

    @property
    def limit_key(self) -> bytes: ...

    @property
    def verified(self) -> bool: ...


class ProvedCallers:
    """The callers of whom AWS has accepted a call within PROVED_SECONDS."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._proved: ExpiringStore[bytes, bool] = ExpiringStore(
            MAX_PROVED, PROVED_SECONDS, clock=clock
        )

    def limit_key(self, caller: LimitedCaller) -> bytes:
        """Return the key under which limits count the caller now: their own, or UNPROVED."""
        if caller.verified or self._proved.get(caller.limit_key):
            return caller.limit_key
        return UNPROVED

    def add(self, caller: Caller) -> None:
        self._proved.set(caller.limit_key, value=True)

    def discard(self, caller: Caller) -> None:
        self._proved.discard(caller.limit_key)


class RefusedCredentials:
    """The credentials that AWS has refused in a region within REFUSED_SECONDS."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._refused: ExpiringStore[tuple[bytes, str], Refusal] = ExpiringStore(
            MAX_REFUSED, REFUSED_SECONDS, clock=clock
        )

    def check(self, caller: Caller, region: str) -> None:
        """Raise RefusedCredentialsError if AWS has refused the caller's credentials recently."""
        refusal = self._refused.get((caller.fingerprint, region))
        if refusal is not None:
            refusal.reject()

    def add(self, caller: Caller, region: str, error: UnauthenticatedError) -> None:
        refusal = Refusal(RefusedCredentialsError, error.message, error.aws)
        self._refused.set((caller.fingerprint, region), refusal)
