"""The issuers: their discovery documents, and what their keys can verify."""

import asyncio
from collections.abc import Iterable

from joserfc.jwk import Key

from gateway.auth.jwks import FETCH_ERRORS, fetch_keys
from gateway.auth.oidc import Issuer
from gateway.doctor.obstacle import SECONDS, obstacle
from gateway.doctor.row import Row, fail, ok

RSA_ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
CURVE_ALGORITHMS = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}

_CHECK = "Check `issuer` and `jwks_url` in GATEWAY_OIDC_FILE, and that the issuer works."


async def check_issuer(issuer: Issuer) -> Row:
    """Fetch an issuer's keys as the gateway does."""
    what = f"issuer {issuer.issuer}"
    try:
        async with asyncio.timeout(SECONDS):
            keys = (await fetch_keys(issuer.issuer, issuer.jwks_url)).values()
    except FETCH_ERRORS as error:
        found = obstacle(error)
        if found is None:
            return fail(what, f"It gives no keys: {error}.", _CHECK)
        return fail(what, f"It gives no keys: {found.why}.", found.remedy)
    usable = sorted(issuer.algorithms & _algorithms(keys))
    if not usable:
        offered = ", ".join(sorted(_algorithms(keys))) or "nothing we know"
        return fail(
            what,
            f"Its keys ({len(keys)}) are for none of the algorithms that are accepted: "
            f"{', '.join(sorted(issuer.algorithms))}.",
            f"List one that they are for in `algorithms` of GATEWAY_OIDC_FILE: {offered}.",
        )
    noun = "key" if len(keys) == 1 else "keys"
    return ok(what, f"{len(keys)} usable {noun}, for {', '.join(usable)}.")


def _algorithms(keys: Iterable[Key]) -> frozenset[str]:
    """Give what some key can verify."""
    found: set[str] = set()
    for key in keys:
        curve = CURVE_ALGORITHMS.get(str(key.get("crv")))
        able = RSA_ALGORITHMS if key.key_type == "RSA" else frozenset({curve} if curve else ())
        found |= able & {key.alg} if key.alg else able
    return frozenset(found)
