"""Persisted documents: found by an id, or allowed only if they are known.

The manifest has those that were deployed with the gateway. Others are remembered once a client has
sent them with their hash, unless only those of the manifest are accepted.

Sources: GraphQL over HTTP, appendix "Persisted Documents"; Apollo's automatic persisted queries.
"""

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from math import inf

from gateway.auth.authenticator import RouterSecrets
from gateway.errors import ForbiddenError, PersistedQueryNotFoundError
from gateway.http.manifest import Manifest
from gateway.http.middleware import RequestLog
from gateway.http.parameters import Parameters
from gateway.http.responses import ContentError, HttpError, NoDocumentError, invalid_content
from gateway.upstream.cache.lru import LruStore

MAX_REMEMBERED_BYTES = 4 * 1024 * 1024
"""Of the documents that clients have sent: thousands. A caller can fill a quarter of it while
others use the rest. Any document that is valid fits into that."""

OWNER_BYTES = 300
"""That a document takes to be found beside what the store counts."""

# Values of the metric's label.
IN_MANIFEST, REMEMBERED, NEW = "manifest", "remembered", "new"
NOT_FOUND, UNLISTED, REFUSED = "not_found", "unlisted", "refused"


@dataclass(frozen=True, slots=True)
class RequestedDocument:
    """The document of a request, and what follows from how it was sent."""

    text: str
    new_hash: str | None = None
    """Its own hash, under which it may be remembered."""
    schema_only: bool = False
    """It is not in the manifest, so it may read the schema alone."""


@dataclass(frozen=True, slots=True)
class _Remembered:
    """A document that a client has sent."""

    text: str
    hash: str
    owners: dict[str, bytes]

    @property
    def weight(self) -> int:
        return sys.getsizeof(self.text) + OWNER_BYTES

    def on_drop(self) -> None:
        del self.owners[self.hash]


@dataclass(slots=True)
class PersistedDocuments:
    """Finds the documents that requests name.

    What one caller has sent is found for every other one too. It decides nothing, because a hash is
    that of one text only, and reveals no more than that somebody has sent this text.
    """

    manifest: Manifest | None = None
    only: bool = False
    """Accept documents of the manifest only."""
    router_secrets: RouterSecrets | None = None
    """With one of these, a request may read the schema although `only` is set."""
    _store: LruStore = field(default_factory=lambda: LruStore(MAX_REMEMBERED_BYTES))
    _owners: dict[str, bytes] = field(default_factory=dict)
    """Hash of each remembered document -> the caller who sent it first."""

    def find(
        self,
        parameters: Parameters,
        headers: Iterable[tuple[bytes, bytes]],
        log: RequestLog,
    ) -> RequestedDocument:
        """Return the document of a request; `headers` are those of an ASGI scope.

        Raises ContentError: 200 if its id is unknown, 403 if it is not in the manifest and has to
        be, 400 if it is known, or has to be, as that of another text. Raises NoDocumentError if the
        id is unknown, and the client has the text.
        """
        text, document_id = parameters.query, parameters.document_id
        if document_id is not None:
            log.set_document_id(document_id)
        if not text:
            assert document_id is not None  # noqa: S101  there is one of both
            found = self._find_text(document_id, log)
            if found is None:
                raise _not_found(parameters)
            log.set_document(found)
            return RequestedDocument(found)
        log.set_document(text)
        new_hash = None if document_id is None else self._new_hash(document_id, text, log)
        if self.manifest is not None and text in self.manifest.texts:
            log.persisted = IN_MANIFEST
            return RequestedDocument(text)
        if self.only:
            return self._unlisted(text, headers, log)
        if new_hash is not None:
            log.persisted = NEW
        elif self.manifest is not None:
            log.persisted = UNLISTED
        elif document_id is not None:
            log.persisted = REMEMBERED
        return RequestedDocument(text, new_hash)

    def remember(self, document: RequestedDocument, caller: bytes) -> None:
        """Remember a valid document, if it is new, for the limit key of a proved caller.

        Anybody can invent credentials, and fill the memory with documents.
        """
        new_hash, owners = document.new_hash, self._owners
        if new_hash is None or new_hash in owners or self.only:
            return
        owners[new_hash] = caller
        self._store.keep(new_hash, caller, _Remembered(document.text, new_hash, owners), inf)

    def _find_text(self, document_id: str, log: RequestLog) -> str | None:
        if self.manifest is not None and (text := self.manifest.documents.get(document_id)):
            log.persisted = IN_MANIFEST
            return text
        if not self.only and (remembered := self._find_remembered(document_id)):
            log.persisted = REMEMBERED
            return remembered
        log.persisted = NOT_FOUND
        return None

    def _find_remembered(self, document_id: str) -> str | None:
        owner = self._owners.get(document_id)
        if owner is None:
            return None
        found: _Remembered | None = self._store.find(document_id, owner)
        return found.text if found else None

    def _new_hash(self, document_id: str, text: str, log: RequestLog) -> str | None:
        """Return an id that was sent with a text, if it is its hash, and not known yet.

        Raises ContentError 400 if it is known, or has to be, as that of another text.
        """
        manifest = self.manifest
        listed = manifest.documents.get(document_id) if manifest is not None else None
        if text in (listed, self._find_remembered(document_id)):
            return None
        if sha256(text.encode("utf-8", "surrogatepass")).hexdigest() == document_id:
            return document_id
        if manifest is not None and listed is None:
            return None  # it may be the id in a newer manifest, which need not be a hash
        log.persisted = REFUSED
        raise _wrong_hash()

    def _unlisted(
        self, text: str, headers: Iterable[tuple[bytes, bytes]], log: RequestLog
    ) -> RequestedDocument:
        if self.router_secrets is not None and self.router_secrets.match(headers):
            log.persisted = UNLISTED
            return RequestedDocument(text, schema_only=True)
        log.persisted = REFUSED
        raise not_persisted()


def not_persisted() -> ContentError:
    """Return the response to a document that is not in the manifest."""
    message = (
        "The document is not one of the persisted ones. Accepted: those of the gateway's manifest "
        "(GATEWAY_PERSISTED_ONLY), by `documentId`, by `extensions.persistedQuery`, or in full."
    )
    return ContentError(403, ForbiddenError(message))


def _not_found(parameters: Parameters) -> HttpError:
    error = PersistedQueryNotFoundError("PersistedQueryNotFound")
    return NoDocumentError(error) if parameters.has_fallback else ContentError(200, error)


def _wrong_hash() -> ContentError:
    return invalid_content(
        "`extensions.persistedQuery.sha256Hash` is not the hash of the query. Accepted: the "
        "SHA-256 hash of its text in UTF-8, in hexadecimal digits of lower case."
    )
