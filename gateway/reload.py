"""Reload of the files that the settings name, while requests are served."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from gateway.auth.oidc import TokenVerifier
from gateway.configuration import Configuration
from gateway.http.endpoint import Endpoint
from gateway.settings import SettingsError
from gateway.upstream.cache.redis import RedisClient

log = structlog.get_logger()


@dataclass(slots=True)
class Reloader:
    """Replaces what is configured by files.

    Issuers and roles, router secrets, persisted documents, the cache URL.
    """

    configuration: Configuration
    endpoint: Endpoint
    verifier: TokenVerifier | None
    redis: RedisClient | None

    async def reload(self) -> None:
        """Read the files again and apply what has changed; logs it, or why nothing was applied.

        Requests in progress are not affected.
        """
        old = self.configuration
        known = old.manifest.texts if old.manifest else ()
        new = Configuration(old.settings, valid_documents=known)
        try:
            await asyncio.to_thread(_read, new)
            _check(old, new)
        except SettingsError as error:
            log.error("reload failed; the previous configuration is kept", reason=str(error))  # noqa: TRY400  the message says it all
            return
        self._apply(old, new)
        self.configuration = new
        log.info("configuration reloaded", **_changes(old, new))

    def _apply(self, old: Configuration, new: Configuration) -> None:
        secrets = self.endpoint.router_secrets
        if secrets and new.router_secrets:
            secrets.accepted = new.router_secrets.accepted
        self.endpoint.documents.manifest = new.manifest
        if self.verifier:
            self.verifier.replace_issuers(new.issuers)
        if self.endpoint.answers:
            # The issuer, the secret or the document behind an answer may have been withdrawn.
            self.endpoint.answers.forget()
        if self.redis and new.cache_url != old.cache_url:
            self.redis.reconfigure(new.cache_url)


def _read(configuration: Configuration) -> None:
    """Read the parts that are reloaded; each is kept by the configuration."""
    _ = configuration.issuers, configuration.router_secrets, configuration.cache_url
    _ = configuration.manifest


def _check(old: Configuration, new: Configuration) -> None:
    if (old.cache_url == "memory://") != (new.cache_url == "memory://"):
        raise SettingsError(
            "GATEWAY_CACHE_URL_FILE: a change between memory:// and Redis requires a restart."
        )


def _changes(old: Configuration, new: Configuration) -> Mapping[str, Any]:
    """Return what has changed, as fields of a log line: numbers, never content."""
    changes: dict[str, Any] = {}
    if new.settings.oidc_file:
        changed = [
            name
            for name in old.issuers.keys() & new.issuers
            if old.issuers[name] != new.issuers[name]
        ]
        changes["issuers_changed"] = len(changed)
        changes |= _counts("issuers", old.issuers, new.issuers)
    if old.router_secrets and new.router_secrets:
        changes |= _counts(
            "router_secrets", old.router_secrets.accepted, new.router_secrets.accepted
        )
    if old.manifest and new.manifest:
        changes |= _counts(
            "documents", old.manifest.documents.items(), new.manifest.documents.items()
        )
    if new.settings.cache_url_file:
        changes["cache_url_changed"] = new.cache_url != old.cache_url
    return changes


def _counts(name: str, old: Collection[Any], new: Collection[Any]) -> Mapping[str, int]:
    before, after = set(old), set(new)
    return {f"{name}_added": len(after - before), f"{name}_removed": len(before - after)}
