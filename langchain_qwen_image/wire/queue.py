"""A queue in front of the model: which answers say "not yet", and where to ask again.

The owner documents it for nearly all sister routes (gateway-facts): `{"request_id", "status":
"QUEUED", "polling_url"}`, then by GET with the key `QUEUED`, `PROCESSING`, `COMPLETED`, `FAILED` or
`ERROR`.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

_PENDING = frozenset(
    [
        "QUEUED",
        "IN_QUEUE",
        "PENDING",
        "PROCESSING",
        "IN_PROGRESS",
        "RUNNING",
        "STARTED",
        "STARTING",
        "SUBMITTED",
        "ACCEPTED",
        "WAITING",
        "SCHEDULED",
        "CREATED",
    ]
)
_ADDRESS_NAMES = ("polling_url", "pollingUrl", "poll_url", "pollUrl", "status_url", "statusUrl")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def pending_status(top: Mapping[str, Any]) -> str | None:
    """Return the state of an answer that is not there yet, such as `QUEUED`; else None."""
    status = top.get("status")
    if not isinstance(status, str) or len(status) > 40:
        return None
    word = status.strip().upper().replace("-", "_").replace(" ", "_")
    return word if word in _PENDING else None


def polling_address(top: Mapping[str, Any]) -> str | None:
    """Return where an answer says to ask again, as it says it; None where it does not."""
    for name in _ADDRESS_NAMES:
        value = top.get(name)
        if isinstance(value, str) and value.strip():
            return value.strip()
    return None


def polling_path(address: str, base_url: str) -> str | None:
    """Return path and query of a polling address at the configured gateway; None for any other.

    The scheme is not compared, since self-links often say http behind a proxy.
    """
    if not address.isprintable() or " " in address or "\\" in address:
        return None
    try:
        parts, base = urlsplit(address), urlsplit(base_url)
        if (parts.scheme or parts.netloc) and not _is_same_host(parts, base):
            return None
    except ValueError:
        return None
    path = "/" + parts.path.lstrip("/")
    if len(path) == 1 or not parts.path.startswith("/"):
        return None
    return f"{path}?{parts.query}" if parts.query else path


def _is_same_host(parts: SplitResult, base: SplitResult) -> bool:
    scheme = parts.scheme or base.scheme
    if scheme not in _DEFAULT_PORTS or "@" in parts.netloc or not parts.hostname:
        return False
    is_port_fine = parts.port in {None, _DEFAULT_PORTS[scheme], _port(base)}
    return parts.hostname == base.hostname and is_port_fine


def _port(parts: SplitResult) -> int | None:
    return parts.port or _DEFAULT_PORTS.get(parts.scheme)
