"""`llmux certs`."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmux.__main__ import main


def test_it_says_what_it_made_and_how_to_trust_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["certs", "--dir", str(tmp_path / "certs")]) == 0
    said = capsys.readouterr().out
    for words in ("made:", f"NODE_EXTRA_CA_CERTS={tmp_path}", "SSL_CERT_FILE=", "ssl_ca_file"):
        assert words in said
    assert "PRIVATE KEY" not in said


def test_a_second_call_keeps_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["certs", "--dir", str(tmp_path)])
    before = (tmp_path / "server.pem").read_bytes()
    assert main(["certs", "--dir", str(tmp_path)]) == 0
    assert "valid already" in capsys.readouterr().out
    assert (tmp_path / "server.pem").read_bytes() == before


def test_a_broken_file_is_named_and_exit_is_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "ca.pem").write_text("nonsense")
    assert main(["certs", "--dir", str(tmp_path)]) == 2
    assert "--force" in capsys.readouterr().err
