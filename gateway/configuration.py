"""What the settings refer to: files, and parts of an installation.

`gateway serve` reads it at start, and `gateway check` reads the same.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from gateway.auth.authenticator import RouterSecrets
from gateway.auth.oidc_file import Issuer, read_oidc_file
from gateway.graph.execution.documents import Documents
from gateway.graph.schema import build_schema, executable_schema
from gateway.http.graphiql import GraphiQL, SandboxContent, examples, header_templates
from gateway.http.manifest import Manifest, read_manifest
from gateway.outgoing import check_proxies, trusted_certificates
from gateway.settings import Settings, SettingsError

if TYPE_CHECKING:
    from gateway.telemetry.otel import OtelTracer


@dataclass(frozen=True)
class Configuration:
    """Each part is read when it is first used; a part whose setting is unset is None or empty.

    Reading raises SettingsError that names the setting and the file, never a secret in it.
    """

    settings: Settings
    sandbox: SandboxContent | None = None
    """For users of GraphiQL."""
    valid_documents: Collection[str] = field(default=(), repr=False)
    """Texts that the manifest may have, and which need no validation."""

    @cached_property
    def issuers(self) -> Mapping[str, Issuer]:
        """The trusted issuers by name."""
        file = self.settings.oidc_file
        return read_oidc_file(file) if file else {}

    @cached_property
    def router_secrets(self) -> RouterSecrets | None:
        file = self.settings.router_secret_file
        return RouterSecrets.read(file) if file else None

    @cached_property
    def manifest(self) -> Manifest | None:
        """The persisted documents."""
        settings = self.settings
        if settings.persisted_documents_file is None:
            return None
        schema = executable_schema(build_schema(root_node=settings.root_node))
        return read_manifest(
            settings.persisted_documents_file,
            Documents(schema, settings),
            valid_texts=self.valid_documents,
        )

    @cached_property
    def cache_url(self) -> str:
        return self.settings.read_cache_url()

    @cached_property
    def graphiql(self) -> GraphiQL | None:
        if not self.settings.graphiql:
            return None
        callers = self.sandbox.callers if self.sandbox else ()
        return GraphiQL.load(
            header_sets=callers or header_templates(self.settings.callers),
            introspection=self.settings.introspection,
            examples=examples(self.sandbox),
            prefix=self.settings.path_prefix or "",
        )

    @cached_property
    def trusted_certificates(self) -> str:
        """The authorities of outgoing connections, in PEM form. The proxies are checked as well."""
        check_proxies()
        return trusted_certificates()

    @cached_property
    def tracer(self) -> "OtelTracer | None":
        ratio = self.settings.trace_ratio
        return _build_tracer(ratio) if ratio else None


PARTS = tuple(name for name, each in vars(Configuration).items() if type(each) is cached_property)
"""The names of all parts."""


def read_configuration(
    settings: Settings, *, sandbox: SandboxContent | None = None
) -> Configuration:
    """Read all parts; raises SettingsError that has the message of each part that is invalid."""
    configuration = Configuration(settings, sandbox)
    problems = []
    for part in PARTS:
        try:
            getattr(configuration, part)
        except SettingsError as error:
            problems.append(str(error))
    if problems:
        raise SettingsError("\n".join(problems))
    return configuration


def _build_tracer(ratio: float) -> "OtelTracer | None":
    try:
        from gateway.telemetry.otel import (  # noqa: PLC0415  an optional extra
            OtelTracer,
            tracing_is_disabled,
        )
    except ImportError:
        raise SettingsError(
            "GATEWAY_TRACE_RATIO is not 0, but OpenTelemetry is not installed. Accepted: 0, or an "
            "installation with the extra `otel`: pip install '.[otel]' in a clone."
        ) from None
    return None if tracing_is_disabled() else OtelTracer(ratio)
