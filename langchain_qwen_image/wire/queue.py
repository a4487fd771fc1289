"""A queue in front of the model: which answers say "not yet" or "failed", and where to ask again.

The owner documents it for nearly all sister routes (gateway-facts): `{"request_id", "status":
"QUEUED", "polling_url"}`, then by GET with the key `QUEUED`, `PROCESSING`, `COMPLETED`, `FAILED` or
`ERROR`. DashScope says the same as `output.task_status`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any
from urllib.parse import SplitResult, urlsplit

from langchain_qwen_image.errors import MalformedResponseError

_PENDING = frozenset(
    "QUEUED INQUEUE PENDING PROCESSING INPROGRESS RUNNING STARTED STARTING SUBMITTED ACCEPTED "
    "WAITING SCHEDULED CREATED GENERATING".split(" ")
)
_ENDED = frozenset(
    "FAILED ERROR FAILURE FAIL CANCELED CANCELLED EXPIRED TIMEOUT REJECTED ABORTED".split(" ")
)
_DONE = frozenset(
    "COMPLETED COMPLETE SUCCEEDED SUCCESS SUCCESSFUL DONE FINISHED READY OK".split(" ")
)
_STATE_NAMES = ("status", "taskstatus", "jobstatus", "state")
_ADDRESS_NAMES = ("pollingurl", "pollurl", "statusurl")
_ADDRESS_HEADERS = ("operation-location", "azure-asyncoperation", "location")
"""Headers in which a 202 says where to ask (RFC 9110, 15.3.3; Azure)."""
_PARTS = frozenset({"output", "data", "result", "response", "payload", "task", "job"})
_LINKS = frozenset({"url", "link"})
"""Names of objects that hold addresses, as `urls.get` of Replicate's predictions."""
_PARTICIPLE = re.compile(r"(?:[A-Z]+_)*[A-Z]{2,}ING(?:_[A-Z]+)*")
"""A state of work under way that has no place in a list, such as `UPLOADING` or `WARMING_UP`."""
_MOST_NAMES = 200
"""Members of an object that are looked at for a part; an answer has a few."""
_DEFAULT_PORTS = {"http": 80, "https": 443}


def pending_state(top: Mapping[str, Any]) -> str | None:
    """Return the state of an answer that is not there yet, such as `QUEUED`; else None."""
    return next((word for word in map(_word, _states(top)) if _is_pending(word)), None)


def is_open(top: Mapping[str, Any]) -> bool:
    """Say whether no state of an answer is an end, so that a 202 says what it means."""
    return not any(_bare(_word(state)) in _DONE | _ENDED for state in _states(top))


def latest_state(tops: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the last object that names a state: of frames of progress, the newest one."""
    return next((top for top in reversed(tops) if has_state(top)), tops[-1] if tops else {})


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
    return any(_bare(_word(state)) in _ENDED for state in _states(top))


def polling_address(
    top: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> str | None:
    """Return where an answer says to ask again, as it says it; None where it does not.

    Args:
        top: The body.
        status: HTTP status; a 202 may say it in a header.
        headers: Headers with names in lower case.
    """
    for part in _parts(top):
        named = {_fold(name): value for name, value in islice(part.items(), _MOST_NAMES)}
        links = (value for name, value in named.items() if name.removesuffix("s") in _LINKS)
        inside = (link.get("get") for link in links if isinstance(link, dict))
        for value in (*map(named.get, _ADDRESS_NAMES), *inside):
            if isinstance(value, str) and value.strip():
                return value.strip()
    if status != 202 or not headers:
        return None
    return next((headers[name].strip() for name in _ADDRESS_HEADERS if headers.get(name)), None)


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


def foreign_queue(
    address: str, *, status_code: int, request_id: str | None
) -> MalformedResponseError:
    """Return the error for a request that is queued at an address that is not the gateway's."""
    error = MalformedResponseError(
        f"The gateway answered {status_code}: the request is queued, and its polling address is on "
        "another host. That address was not asked, because the key would be sent there. The image "
        "may have been billed; check the account before repeating the request.",
        status_code=status_code,
        request_id=request_id,
    )
    error.polling_url = address
    return error


def _is_same_host(parts: SplitResult, base: SplitResult) -> bool:
    scheme = parts.scheme or base.scheme
    if scheme not in _DEFAULT_PORTS or "@" in parts.netloc or not parts.hostname:
        return False
    base_port = base.port or _DEFAULT_PORTS.get(base.scheme)
    is_port_fine = parts.port in {None, _DEFAULT_PORTS[scheme], base_port}
    return parts.hostname == base.hostname and is_port_fine


def _states(top: Mapping[str, Any]) -> Iterator[str]:
    for part in _parts(top):
        named = {_fold(name): value for name, value in islice(part.items(), _MOST_NAMES)}
        for value in map(named.get, _STATE_NAMES):
            if isinstance(value, str) and len(value) <= 40:
                yield value.strip()


def _word(state: str) -> str:
    return state.upper().replace("-", "_").replace(" ", "_")


def _is_pending(word: str) -> bool:
    return _bare(word) in _PENDING or bool(_PARTICIPLE.fullmatch(word))


def _bare(word: str) -> str:
    """Return a state without word borders: `InProgress` and `IN_PROGRESS` are one."""
    return word.replace("_", "")


def _fold(name: str) -> str:
    return name[:40].replace("_", "").replace("-", "").lower()


def _parts(top: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield top
    for name, part in islice(top.items(), _MOST_NAMES):
        if isinstance(part, dict) and _fold(name) in _PARTS:
            yield part
