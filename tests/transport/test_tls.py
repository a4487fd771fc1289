"""Certificates that the environment names: used, or named as the cause."""

import os
import ssl
from pathlib import Path

import pytest
from loopback import self_signed

from langchain_qwen_image.transport.tls import certificate_problem, tls_context


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Name no certificates."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)


@pytest.fixture
def paths(tmp_path: Path) -> dict[str, str]:
    """Return paths of every kind."""
    _, certificate = self_signed(tmp_path)
    hashed, empty, text = tmp_path / "hashed", tmp_path / "empty", tmp_path / "text.pem"
    hashed.mkdir()
    (hashed / "0a1b2c3d.0").write_bytes(certificate.read_bytes())
    empty.mkdir()
    (empty / "ca.pem").write_bytes(certificate.read_bytes())
    text.write_text("no certificate")
    return {
        "good": str(certificate),
        "missing": str(tmp_path / "missing"),
        "hashed": str(hashed),
        "empty": str(empty),
        "text": str(text),
        "list": os.pathsep.join([str(tmp_path / "missing"), str(hashed), ""]),
        "bad list": os.pathsep.join([str(tmp_path / "missing"), str(empty)]),
        "nul": "a\0b",
    }


CASES = [
    ("SSL_CERT_FILE", "good", None),
    ("SSL_CERT_FILE", "missing", "which does not exist"),
    ("SSL_CERT_FILE", "text", "which holds no certificates"),
    ("SSL_CERT_FILE", "empty", "which is a folder"),
    ("SSL_CERT_FILE", "nul", "which cannot be read"),
    ("SSL_CERT_DIR", "hashed", None),
    ("SSL_CERT_DIR", "list", None),
    ("SSL_CERT_DIR", "missing", "which does not exist"),
    ("SSL_CERT_DIR", "empty", "which holds no certificate under a hashed name"),
    ("SSL_CERT_DIR", "good", "which is not a folder"),
    ("SSL_CERT_DIR", "bad list", "which does not exist"),
]


@pytest.mark.parametrize(
    ("variable", "kind", "told"), [pytest.param(*row, id=f"{row[0]} {row[1]}") for row in CASES]
)
def test_what_cannot_be_used_is_named(
    paths: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    kind: str,
    told: str | None,
) -> None:
    """The variable, its path and the reason are named; what works makes a context."""
    problem = certificate_problem({variable: paths[kind]})
    if told is None:
        assert problem is None
    else:
        assert problem is not None
        assert problem.startswith(f"{variable} names {paths[kind]!r}, {told}")
    if kind == "nul":
        return  # no environment can have it
    monkeypatch.setenv(variable, paths[kind])
    if told is None:
        assert tls_context().verify_mode == ssl.CERT_REQUIRED
    else:
        with pytest.raises(ValueError, match=variable):
            tls_context()


def test_a_file_wins_over_a_folder(paths: dict[str, str]) -> None:
    """As with httpx, the folder does not count where a file is named; empty names nothing."""
    good = {"SSL_CERT_FILE": paths["good"], "SSL_CERT_DIR": paths["missing"]}
    assert certificate_problem(good) is None
    assert certificate_problem({"SSL_CERT_FILE": "", "SSL_CERT_DIR": ""}) is None


def test_the_context_is_made_once(paths: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """All share one context, until the environment names other certificates."""
    first = tls_context()
    assert tls_context() is first
    monkeypatch.setenv("SSL_CERT_FILE", paths["good"])
    assert tls_context() is not first
    assert tls_context() is tls_context()
