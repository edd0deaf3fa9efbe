"""The rule for outgoing connections: which proxy, and which authorities."""

import os
import ssl
from pathlib import Path

import pytest

from gateway import outgoing
from gateway.configuration import read_configuration
from gateway.outgoing import AUTHORITIES, PROXIES, proxy_for, tls_context
from gateway.settings import Settings, SettingsError
from tests.certificates import LOOPBACK, CertificateAuthority

PROXY = "http://proxy.example:3128"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name in AUTHORITIES or name.upper().endswith("_PROXY"):
            monkeypatch.delenv(name)


def check_environment() -> None:
    read_configuration(Settings())


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy"])
def test_a_proxy_is_for_its_scheme(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, PROXY)

    assert str(proxy_for("https://aws.example")) == f"{PROXY}"
    assert proxy_for("http://aws.example") is None


def test_without_variables_there_is_no_proxy() -> None:
    assert proxy_for("https://aws.example") is None


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_plain_http_to_this_machine_has_no_proxy(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sandbox or a collector there works without NO_PROXY."""
    monkeypatch.setenv("HTTP_PROXY", PROXY)
    monkeypatch.setenv("HTTPS_PROXY", PROXY)

    assert proxy_for(f"http://{host}:9000/keys") is None
    assert proxy_for("http://aws.example") is not None
    assert proxy_for(f"https://{host}:9000") is not None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("proxy.example:3128", PROXY),
        ("https://proxy.example/", "https://proxy.example/"),
        ("http://[::1]:3128", "http://[::1]:3128"),
        ("http://user:p%40ss@proxy.example:3128", "http://user:p%40ss@proxy.example:3128"),
        ("", None),
    ],
)
def test_a_proxy_may_be_written_in_several_ways(
    value: str, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", value)
    found = proxy_for("https://aws.example")

    assert (found and str(found)) == expected


@pytest.mark.parametrize("variable", PROXIES.values())
@pytest.mark.parametrize(
    "value",
    ["socks5://user:hidden@p:1", "http://user:hidden@", "http://user:hidden@p:99999", "hidden p"],
)
def test_an_invalid_proxy_is_named_without_its_credentials(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=f"^{variable}: .* Accepted: `http://") as raised:
        check_environment()

    assert "hidden" not in str(raised.value)


@pytest.mark.parametrize(
    ("no_proxy", "url", "bypassed"),
    [
        ("*", "https://aws.example", True),
        ("aws.example", "https://aws.example", True),
        ("AWS.example", "https://aws.EXAMPLE", True),
        ("aws.example", "https://a.aws.example", True),
        (".aws.example", "https://a.aws.example", True),
        ("*.aws.example", "https://a.aws.example", True),
        ("aws.example", "https://notaws.example", False),
        ("aws.example:443", "https://aws.example", True),
        ("aws.example:8443", "https://aws.example", False),
        ("aws.example:8443", "https://aws.example:8443", True),
        ("other.example, aws.example", "https://aws.example", True),
        ("other.example aws.example", "https://aws.example", True),
        ("10.0.0.0/8", "https://10.1.2.3", True),
        ("10.0.0.0/8", "https://11.1.2.3", False),
        ("10.0.0.0/8", "https://aws.example", False),
        ("127.0.0.1", "https://127.0.0.1:8443", True),
        ("127.0.0.1:8443", "https://127.0.0.1:8443", True),
        ("127.0.0.1:8443", "https://127.0.0.1", False),
        ("::1", "https://[::1]:8443", True),
        ("[::1]", "https://[::1]:8443", True),
        ("[::1]:8443", "https://[::1]:8443", True),
        ("[::1]:8443", "https://[::1]", False),
        ("fd00::/8", "https://[fd00::2]", True),
        (",", "https://aws.example", False),
        ("", "https://aws.example", False),
    ],
)
@pytest.mark.parametrize("variable", ["NO_PROXY", "no_proxy"])
def test_no_proxy_lists_hosts_domains_networks_and_ports(
    variable: str, no_proxy: str, url: str, *, bypassed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    monkeypatch.setenv(variable, no_proxy)

    assert (proxy_for(url) is None) is bypassed


def folder_of(authority: CertificateAuthority, folder: Path, name: str = "0123abcd.0") -> Path:
    folder.mkdir()
    (folder / name).write_bytes(authority.file.read_bytes())
    return folder


def authorities() -> set[int]:
    return {int(str(each["serialNumber"]), 16) for each in tls_context().get_ca_certs()}


@pytest.fixture
def first(tmp_path: Path) -> CertificateAuthority:
    (tmp_path / "first").mkdir()
    return CertificateAuthority(tmp_path / "first")


@pytest.fixture
def second(tmp_path: Path) -> CertificateAuthority:
    (tmp_path / "second").mkdir()
    return CertificateAuthority(tmp_path / "second")


def test_the_authorities_of_all_variables_are_trusted_and_no_others(
    first: CertificateAuthority,
    second: CertificateAuthority,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    paths = {
        "AWS_CA_BUNDLE": first.file,
        "SSL_CERT_FILE": second.file,
        "SSL_CERT_DIR": folder_of(second, tmp_path / "folder"),
    }
    assert paths.keys() == AUTHORITIES.keys()
    found = {}
    for name, path in paths.items():
        with monkeypatch.context() as alone:
            alone.setenv(name, str(path))
            found[name] = authorities()
    for name, path in paths.items():
        monkeypatch.setenv(name, str(path))

    assert {name: len(each) for name, each in found.items()} == dict.fromkeys(paths, 1)
    assert found["AWS_CA_BUNDLE"] != found["SSL_CERT_FILE"] == found["SSL_CERT_DIR"]
    assert authorities() == set.union(*found.values())


@pytest.mark.parametrize("variables", [{}, dict.fromkeys(AUTHORITIES, "")])
def test_without_variables_the_authorities_of_the_system_are_trusted(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert len(authorities()) > 50


def test_a_system_without_authorities_has_those_of_botocore(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    paths = ssl.get_default_verify_paths()
    none = paths._replace(cafile=None, capath=None)  # type: ignore[arg-type]  # as it documents
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: none)
    outgoing._read_certificates.cache_clear()
    try:
        assert len(authorities()) > 50
    finally:
        outgoing._read_certificates.cache_clear()


def test_certificates_and_host_names_are_checked() -> None:
    assert tls_context().check_hostname
    assert tls_context().verify_mode is ssl.CERT_REQUIRED


def test_files_are_read_once(monkeypatch: pytest.MonkeyPatch, first: CertificateAuthority) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(first.file))

    assert tls_context() is tls_context()


def test_comments_of_a_bundle_may_be_in_any_encoding(
    first: CertificateAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    first.file.write_bytes("# Autorité\n".encode("latin-1") + first.file.read_bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(first.file))

    assert len(authorities()) == 1


DAMAGED = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize("content", [None, b"", b"\xff\x00", b"no certificate", DAMAGED])
@pytest.mark.parametrize("variable", AUTHORITIES)
def test_a_file_without_valid_certificates_is_named(
    variable: str, content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "authorities"
    if content is not None and variable == outgoing.FOLDERS:
        path.mkdir()
        (path / "0123abcd.0").write_bytes(content)
    elif content is not None:
        path.write_bytes(content)
    monkeypatch.setenv(variable, str(path))

    with pytest.raises(SettingsError, match=f"^{variable}: {path} .* Accepted: a f.*PEM"):
        check_environment()


@pytest.mark.parametrize("variable", AUTHORITIES)
def test_what_is_no_file_or_too_large_is_not_read(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could block the start, or fill the memory."""
    path = file = tmp_path / "authorities"
    if variable == outgoing.FOLDERS:
        path.mkdir()
        file = path / "0123abcd.0"
    monkeypatch.setenv(variable, str(path))
    file.symlink_to("/dev/null")
    with pytest.raises(SettingsError, match=f"^{variable}: {path} .*not a regular file"):
        check_environment()
    file.unlink()
    with file.open("wb") as large:
        large.truncate(2**40)
    with pytest.raises(SettingsError, match=f"^{variable}: {path} .*too large"):
        check_environment()


def test_an_empty_folder_in_the_list_is_none(
    first: CertificateAuthority,
    second: CertificateAuthority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It would be the one that the program is started in."""
    monkeypatch.chdir(folder_of(second, tmp_path / "current"))
    monkeypatch.setenv("SSL_CERT_DIR", f":{folder_of(first, tmp_path / 'folder')}:")

    assert len(authorities()) == 1


def test_a_folder_needs_the_names_that_openssl_looks_for(
    first: CertificateAuthority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_DIR", str(folder_of(first, tmp_path / "folder", "first.pem")))

    with pytest.raises(SettingsError, match="openssl rehash"):
        check_environment()


def test_a_key_in_the_file_is_not_a_certificate(
    first: CertificateAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some files have both."""
    monkeypatch.setenv("AWS_CA_BUNDLE", str(first.issue(LOOPBACK)))

    assert "PRIVATE" not in outgoing.trusted_certificates()
