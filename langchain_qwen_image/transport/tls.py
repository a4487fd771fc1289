"""One TLS context for the process, and what the environment may have wrong about certificates.

The variables are httpx's: `SSL_CERT_FILE`, else `SSL_CERT_DIR`, else the certificates of certifi.
"""

import os
import re
import ssl
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from threading import Lock

import httpx

_HASHED_NAME = re.compile(r"[0-9a-f]{8}\.\d+")
_WAY_OUT = "Correct the variable, or unset it to use the certificates that come with httpx."
_making = Lock()


def tls_context() -> ssl.SSLContext:
    """Return the process's TLS context, made once: it costs tens of milliseconds.

    Raises:
        ValueError: `SSL_CERT_FILE` or `SSL_CERT_DIR` names what cannot be used; the message says
            which, and why.
    """
    with _making:
        return _context_for(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


def no_tls_context() -> ssl.SSLContext:
    """Return a context for connections without TLS: it knows no certificates, and costs little."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def certificate_problem(environ: Mapping[str, str]) -> str | None:
    """Say why no TLS connection can be made with these variables, or None where one can."""
    if file := environ.get("SSL_CERT_FILE"):
        reason = _file_problem(file)
        return reason and f"SSL_CERT_FILE names {file!r}, {reason}. {_WAY_OUT}"
    if folders := environ.get("SSL_CERT_DIR"):
        reason = _folders_problem(folders.split(os.pathsep))
        return reason and f"SSL_CERT_DIR names {folders!r}, {reason}. {_WAY_OUT}"
    return None


@lru_cache(maxsize=1)
def _context_for(file: str | None, folder: str | None) -> ssl.SSLContext:
    problem = certificate_problem({"SSL_CERT_FILE": file or "", "SSL_CERT_DIR": folder or ""})
    if problem:
        raise ValueError(problem)
    return httpx.create_ssl_context()


def _file_problem(file: str) -> str | None:
    try:
        ssl.create_default_context(cafile=file)
    except FileNotFoundError:
        return "which does not exist"
    except IsADirectoryError:
        return "which is a folder, not a file"
    except ssl.SSLError:
        return "which holds no certificates in PEM format"
    except (OSError, ValueError) as error:
        return f"which cannot be read ({type(error).__name__})"
    return None


def _folders_problem(folders: list[str]) -> str | None:
    """Judge a list of folders: OpenSSL looks into all of them, and one that works is enough."""
    problems = [_folder_problem(folder) for folder in folders if folder]
    return problems[0] if problems and None not in problems else None


def _folder_problem(folder: str) -> str | None:
    try:
        names = [path.name for path in Path(folder).iterdir()]
    except FileNotFoundError:
        return "which does not exist"
    except NotADirectoryError:
        return "which is not a folder"
    except (OSError, ValueError) as error:
        return f"which cannot be read ({type(error).__name__})"
    if any(map(_HASHED_NAME.fullmatch, names)):
        return None
    return "which holds no certificate under a hashed name (run `openssl rehash` on it)"


def _forget_the_lock() -> None:
    """Replace a lock that another thread held when the process forked."""
    global _making
    _making = Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_the_lock)
