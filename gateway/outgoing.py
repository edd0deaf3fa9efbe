"""The rule for all connections that the process opens: proxies, trusted authorities, time limits.

Proxies are those of HTTPS_PROXY, HTTP_PROXY and NO_PROXY, also in lower case. A certificate must be
from an authority in AWS_CA_BUNDLE, SSL_CERT_FILE or SSL_CERT_DIR; from one of the system's if none
of them is set.
"""

import os
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import lru_cache
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies_environment

import aiohttp
from botocore.httpsession import DEFAULT_CA_BUNDLE
from yarl import URL

from gateway.setting_files import read_setting_file
from gateway.settings import SettingsError, is_loopback

CONNECT_SECONDS = 2.0
RESPONSE_SECONDS = 5.0
"""Of each wait for data. An attempt takes no longer than both together."""

CONNECTIONS = 100
KEEPALIVE_SECONDS = 12.0
"""Shorter than that of AWS, which would otherwise close a connection as it is used again."""

FOLDERS = "SSL_CERT_DIR"
BUNDLE = "a file of certificates in PEM form"
AUTHORITIES = {
    "AWS_CA_BUNDLE": BUNDLE,
    "SSL_CERT_FILE": BUNDLE,
    FOLDERS: "a folder of certificates in PEM form, named as by `openssl rehash`",
}
"""The variables that name trusted authorities, and what each accepts."""

PROXIES = {"https": "HTTPS_PROXY", "http": "HTTP_PROXY"}
PORTS = {"https": 443, "http": 80}

_CERTIFICATE = re.compile(
    r"-----BEGIN CERTIFICATE-----[\w+/=\s]+-----END CERTIFICATE-----", re.ASCII
)
_HASHED = re.compile(r"[0-9a-f]{8}\.\d+")
"""The names of the files in a folder that OpenSSL reads."""

_PROXY = re.compile(r"https?://([^\s/?#@]*@)?(\[[0-9A-Fa-f:.]+\]|[^\s/?#@:\[\]]+)(:\d{1,5})?/?")


class ProxyRefusedError(aiohttp.ClientConnectionError):
    """The proxy opened no connection. The text is a clause without its address and credentials."""

    def __init__(self, cause: str) -> None:
        super().__init__(f"the proxy refused the connection ({cause})")


def check_proxies() -> None:
    """Raise SettingsError, which names the variable, if one is invalid."""
    for scheme in PROXIES:
        _proxy(scheme)


def tls_context() -> ssl.SSLContext:
    """Return the context of all connections, which checks certificates and host names.

    Raises SettingsError as `trusted_certificates` does.
    """
    return _shared_context(trusted_certificates())


def new_tls_context(certificates: str) -> ssl.SSLContext:
    """Return a context that trusts these authorities, for a library that modifies it."""
    return ssl.create_default_context(cadata=certificates)


def trusted_certificates(*own: str) -> str:
    """Return the certificates of the trusted authorities, in PEM form.

    The first of the variables `own` that is set names them instead. Each file is read once. Raises
    SettingsError, which names the variable, if one has none.
    """
    paths = {name: path for name in (*own, *AUTHORITIES) if (path := os.environ.get(name))}
    first = next((name for name in own if name in paths), None)
    return _read_certificates(((first, paths[first]),) if first else tuple(paths.items()))


def proxy_for(url: str) -> URL | None:
    """Return the proxy for an http or https URL, with its credentials; None if there is none.

    Plain HTTP to this machine, such as to a sandbox or a collector beside the gateway, has none.

    Raises SettingsError, which names the variable, if the proxy is invalid.
    """
    target = urlsplit(url)
    proxy = _proxy(target.scheme)
    if proxy is None or (target.scheme == "http" and is_loopback(target.hostname or "")):
        return None
    port = target.port or PORTS[target.scheme]
    return None if _bypasses_proxy(target.hostname or "", port) else proxy


@asynccontextmanager
async def open_http_session(**options: Any) -> AsyncIterator["HttpSession"]:
    """Open a session; `options` are those of aiohttp's."""
    # A total, because a slow trickle of data never exceeds a socket timeout.
    timeout = aiohttp.ClientTimeout(
        total=CONNECT_SECONDS + RESPONSE_SECONDS,
        sock_connect=CONNECT_SECONDS,
        sock_read=RESPONSE_SECONDS,
    )
    async with aiohttp.ClientSession(
        connector=_Connector(
            limit=CONNECTIONS, keepalive_timeout=KEEPALIVE_SECONDS, ssl=tls_context()
        ),
        timeout=timeout,
        cookie_jar=aiohttp.DummyCookieJar(),
        **options,
    ) as session:
        # aiohttp's own retry would double each attempt.
        session._retry_connection = False  # noqa: SLF001
        yield HttpSession(session)


class HttpSession:
    """Follows no redirects and stores no cookies.

    aiohttp would send a caller's secrets to the target of a redirect, and one caller's cookies with
    another's calls.
    """

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    def request(self, method: str, url: str | URL, **options: Any) -> Any:
        """Return an async context manager of a response; `options` are those of aiohttp's.

        The request goes through the proxy for its URL, unless `options` has a `proxy`.
        """
        if "proxy" not in options:
            options["proxy"] = proxy_for(str(url))
        return self._session.request(method, url, allow_redirects=False, **options)


class _Connector(aiohttp.TCPConnector):
    """Distinguishes failures of a proxy from those of the server behind it."""

    async def _create_proxy_connection(self, *args: Any) -> Any:
        try:
            return await super()._create_proxy_connection(*args)
        except aiohttp.ClientError as error:
            cause = _failure_of_proxy(error)
            if not cause:
                raise
        # Outside of the handler: the text of aiohttp's error has the proxy's password.
        raise ProxyRefusedError(cause)


_PROXY_FAILURES: dict[type[aiohttp.ClientError], str] = {
    # Most specific first.
    aiohttp.ClientHttpProxyError: "HTTP {error.status}",
    aiohttp.ClientResponseError: "its response is not HTTP",
    aiohttp.ClientConnectorDNSError: "its host name cannot be resolved",
    aiohttp.ClientProxyConnectionError: "it cannot be reached",
    aiohttp.ClientConnectorError: "",  # the TLS handshake with the server failed
    aiohttp.ClientOSError: "it closed the connection",
    aiohttp.ServerDisconnectedError: "it closed the connection",
}


def _failure_of_proxy(error: aiohttp.ClientError) -> str:
    """Return what the proxy did; "" if it is not the proxy that failed."""
    words = (words for known, words in _PROXY_FAILURES.items() if isinstance(error, known))
    return next(words, "").format(error=error)


@lru_cache
def _read_certificates(variables: tuple[tuple[str, str], ...]) -> str:
    named = [each for name, path in variables for each in _read_named(name, path)]
    return "\n".join(dict.fromkeys(named or _read_system()))


_shared_context = lru_cache(new_tls_context)


def _read_named(variable: str, path: str) -> list[str]:
    accepted = AUTHORITIES.get(variable, BUNDLE)
    try:
        found = _read_folders(path) if variable == FOLDERS else _read_file(path)
        if not found:
            raise invalid_variable(variable, f"{path} has no certificate", accepted)
        new_tls_context("\n".join(found))
    except ssl.SSLError:
        raise invalid_variable(variable, f"{path} has an invalid certificate", accepted) from None
    except OSError as error:
        raise invalid_variable(
            variable, f"{path} cannot be read: {error.strerror}", accepted
        ) from None
    return found


def _read_system() -> list[str]:
    paths = ssl.get_default_verify_paths()
    found = _read_file(paths.cafile) if paths.cafile else []
    found += _read_folders(paths.capath) if paths.capath else []
    return found or _read_file(DEFAULT_CA_BUNDLE)  # a small image may have none


def _read_file(path: str | Path) -> list[str]:
    # Comments between the certificates may be in any encoding.
    return _CERTIFICATE.findall(read_setting_file(Path(path)).decode("ascii", errors="replace"))


def _read_folders(paths: str) -> list[str]:
    """Return the certificates of the folders in a list with colons."""
    folders = map(Path, filter(None, paths.split(os.pathsep)))
    files = [file for folder in folders for file in sorted(folder.iterdir())]
    return [each for file in files if _HASHED.fullmatch(file.name) for each in _read_file(file)]


def _proxy(scheme: str) -> URL | None:
    """Return the proxy for a scheme; raises SettingsError, whose text has no credentials."""
    text = getproxies_environment().get(scheme)
    if not text:
        return None
    if "://" not in text:
        text = f"http://{text}"
    with suppress(ValueError):
        if _PROXY.fullmatch(text):
            return URL(text)
    accepted = "`http://host:port` or `https://host:port`, optionally with percent-encoded "
    raise invalid_variable(PROXIES[scheme], "the value is invalid", f"{accepted}`user:password@`")


def invalid_variable(variable: str, problem: str, accepted: str) -> SettingsError:
    """Return the error of a variable of the environment that is no setting of the gateway."""
    return SettingsError(f"{variable}: {problem}. Accepted: {accepted}.")


def _bypasses_proxy(host: str, port: int) -> bool:
    """Return whether NO_PROXY has the host."""
    entries = re.split(r"[,\s]+", getproxies_environment().get("no", "").lower())
    return any(_matches(entry, host, port) for entry in entries if entry)


def _matches(entry: str, host: str, port: int) -> bool:
    """Return whether an entry is `*`, the host, a domain or network above it, with its port if any.

    Python's own proxy_bypass knows no networks, which Kubernetes needs.
    """
    if entry == "*":
        return True
    with suppress(ValueError):
        return ip_address(host) in ip_network(entry.strip("[]"), strict=False)
    found = re.fullmatch(r"(.*?)(?::(\d+))?", entry)
    name, its_port = found.groups() if found else (entry, None)
    domain = name.strip("[]").removeprefix("*").removeprefix(".")
    return its_port in {None, str(port)} and (host == domain or host.endswith(f".{domain}"))
