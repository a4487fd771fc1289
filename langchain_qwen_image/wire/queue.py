"""A queue in front of the model: which answers say "not yet" or "failed", and where to ask again.

The owner documents it for nearly all sister routes (gateway-facts): `{"request_id", "status":
"QUEUED", "polling_url"}`, then by GET with the key `QUEUED`, `PROCESSING`, `COMPLETED`, `FAILED` or
`ERROR`. DashScope says the same as `output.task_status`.
"""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

_PENDING = frozenset(
    "QUEUED IN_QUEUE PENDING PROCESSING IN_PROGRESS RUNNING STARTED STARTING SUBMITTED ACCEPTED "
    "WAITING SCHEDULED CREATED GENERATING".split(" ")
)
_ENDED = frozenset(
    "FAILED ERROR FAILURE FAIL CANCELED CANCELLED EXPIRED TIMEOUT REJECTED ABORTED".split(" ")
)
_STATE_NAMES = ("status", "task_status", "taskStatus", "state")
_ADDRESS_NAMES = ("polling_url", "pollingUrl", "poll_url", "pollUrl", "status_url", "statusUrl")
_PARTS = ("output", "data", "result")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def pending_state(top: Mapping[str, Any]) -> str | None:
    """Return the state of an answer that is not there yet, such as `QUEUED`; else None."""
    return next((word for word in map(_word, _states(top)) if word in _PENDING), None)


def has_state(top: Mapping[str, Any]) -> bool:
    """Say whether an answer names any state."""
    return any(True for _ in _states(top))


def says_failed(top: Mapping[str, Any]) -> bool:
    """Say whether the queue calls the task failed: such a task is not charged.

    The owner says so of `FAILED` and `ERROR`, and the document's price is that of a successful
    image. A small `error` is what other services call an answer without a queue.
    """
    return any(state == "ERROR" or state.upper() == "FAILED" for state in _states(top))


def says_ended(top: Mapping[str, Any]) -> bool:
    """Say whether the task came to an end without an image, failed or otherwise."""
    return any(_word(state) in _ENDED for state in _states(top))


def polling_address(top: Mapping[str, Any]) -> str | None:
    """Return where an answer says to ask again, as it says it; None where it does not."""
    for part in _parts(top):
        for name in _ADDRESS_NAMES:
            value = part.get(name)
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
    path = "/" + parts.path.lstrip("/")  # a second slash would name a host
    if len(path) == 1 or not parts.path.startswith("/"):
        return None
    return f"{path}?{parts.query}" if parts.query else path


def _is_same_host(parts: SplitResult, base: SplitResult) -> bool:
    scheme = parts.scheme or base.scheme
    if scheme not in _DEFAULT_PORTS or "@" in parts.netloc or not parts.hostname:
        return False
    base_port = base.port or _DEFAULT_PORTS.get(base.scheme)
    is_port_fine = parts.port in {None, _DEFAULT_PORTS[scheme], base_port}
    return parts.hostname == base.hostname and is_port_fine


def _states(top: Mapping[str, Any]) -> Iterator[str]:
    for part in _parts(top):
        for name in _STATE_NAMES:
            value = part.get(name)
            if isinstance(value, str) and len(value) <= 40:
                yield value.strip()


def _word(state: str) -> str:
    return state.upper().replace("-", "_").replace(" ", "_")


def _parts(top: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield top
    for name in _PARTS:
        part = top.get(name)
        if isinstance(part, dict):
            yield part
