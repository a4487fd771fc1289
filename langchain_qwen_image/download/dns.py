"""Looking a name up, within a time.

`socket.getaddrinfo` takes no timeout, and a resolver that does not answer holds it for half a
minute and longer. So it runs in a thread of its own, which is left behind when the time is over.
"""

import socket
import time
from queue import Empty, SimpleQueue
from threading import Thread

import httpcore

from langchain_qwen_image.transport.call import current_call


def lookup(host: str, port: int, timeout: float | None = None) -> list[str]:
    """Return the addresses of a host, in order, within `timeout` seconds and the current call.

    Raises:
        httpcore.ConnectError: the name does not resolve, or not in time.
    """
    answers: SimpleQueue[list[str] | str] = SimpleQueue()
    thread = Thread(target=lambda: answers.put(_resolve(host, port)), daemon=True, name="qwen-dns")
    try:
        thread.start()
    except RuntimeError:  # no thread can be started while the interpreter ends
        answers.put(_resolve(host, port))
    try:
        answer = answers.get(timeout=_remaining(timeout))
    except Empty:
        answer = "no answer came in time"
    if isinstance(answer, str):
        raise httpcore.ConnectError(f"the name does not resolve: {answer}")
    return answer


def _resolve(host: str, port: int) -> list[str] | str:
    """Return the addresses, or the reason why there are none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or "it is not a name"
    return list(dict.fromkeys(str(entry[4][0]) for entry in found)) or "it has no address"


def _remaining(timeout: float | None) -> float | None:
    call = current_call.get()
    if call is None:
        return timeout
    remaining = max(0.0, call.deadline - time.monotonic())
    return remaining if timeout is None else min(timeout, remaining)
