"""Development certificates: made once, kept, readable by their owner alone, and good for TLS."""

from __future__ import annotations

import os
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from llmux.access.certs import LIFETIME, ensure


def names(cert: Path) -> set[str]:
    found = x509.load_pem_x509_certificate(cert.read_bytes()).extensions
    names = found.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name.value) for name in names}


def test_a_new_folder_gets_a_ca_and_two_certificates(tmp_path: Path) -> None:
    certs = ensure(tmp_path / "certs")
    assert certs.made
    assert {"localhost", "127.0.0.1", "::1"} <= names(certs.cert)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certs.cert, certs.key)
    context.load_cert_chain(certs.client_cert, certs.client_key)
    context.load_verify_locations(certs.ca)


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
def test_keys_are_their_owners_alone(tmp_path: Path) -> None:
    folder = ensure(tmp_path / "certs").folder
    modes = {file.name: file.stat().st_mode & 0o777 for file in folder.iterdir()}
    assert {mode for name, mode in modes.items() if name.endswith(".key")} == {0o600}
    assert sorted(modes) == ["ca.key", "ca.pem", "client.key", "client.pem", "server.key", "server.pem"]


def test_what_is_there_stays(tmp_path: Path) -> None:
    first = ensure(tmp_path)
    before = first.cert.read_bytes()
    assert not ensure(tmp_path).made
    assert first.cert.read_bytes() == before


def test_a_missing_certificate_comes_from_the_ca_that_is_trusted_already(tmp_path: Path) -> None:
    certs = ensure(tmp_path)
    ca = certs.ca.read_bytes()
    certs.cert.unlink()
    assert ensure(tmp_path).made
    assert certs.ca.read_bytes() == ca
    context = ssl.create_default_context(cafile=str(certs.ca))
    assert context.cert_store_stats()["x509_ca"] == 1


def test_force_makes_everything_anew(tmp_path: Path) -> None:
    before = ensure(tmp_path).ca.read_bytes()
    assert ensure(tmp_path, force=True).ca.read_bytes() != before


def test_a_certificate_that_ends_soon_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmux.access.certs.LIFETIME", timedelta(days=3))
    certs = ensure(tmp_path)
    monkeypatch.setattr("llmux.access.certs.LIFETIME", LIFETIME)
    assert ensure(tmp_path).made
    ends = x509.load_pem_x509_certificate(certs.cert.read_bytes()).not_valid_after_utc
    assert ends > datetime.now(UTC) + timedelta(days=300)


def test_a_file_that_is_no_certificate_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nonsense")
    with pytest.raises(ValueError):
        ensure(tmp_path)
