"""Reach an address without paying: a HEAD of its root, without a key."""

import base64
import http.client
import ipaddress
import socket
import ssl
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import SplitResult, unquote, urlsplit

_SECONDS = 10.0
_FAKE_ADDRESSES = ipaddress.ip_network("198.18.0.0/15")
"""Into which Clash, sing-box and Surge resolve every name."""


class UnreachableError(Exception):
    """An address was not reached; the message says why, and what to look at."""


@dataclass(frozen=True, slots=True)
class Reached:
    """Say how an address was reached."""

    seconds: float
    clock_ahead_seconds: float | None
    """How far this machine's clock is ahead of the answer's `Date`; None where it has none."""


def reach(url: str, *, context: ssl.SSLContext, proxy: str | None = None) -> Reached:
    """Ask for the head of a root, by the proxy if there is one.

    Raises:
        UnreachableError: No answer came.
    """
    begin = time.monotonic()
    parts = urlsplit(url)
    try:
        connection = _connection(parts, context, proxy)
        try:
            connection.request("HEAD", "/", headers={"User-Agent": "langchain-qwen-image doctor"})
            date = connection.getresponse().getheader("Date")
        finally:
            connection.close()
    except (OSError, http.client.HTTPException) as error:
        reason = _reason(error)
    else:
        return Reached(time.monotonic() - begin, _ahead(date))
    raise UnreachableError(reason)


def has_fake_address(host: str) -> bool:
    """Say whether a name resolves only into the range of fake-IP resolvers."""
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(host, 443)}
    except OSError:
        return False
    return all(ipaddress.ip_address(str(one).split("%")[0]) in _FAKE_ADDRESSES for one in found)


def _connection(
    parts: SplitResult, context: ssl.SSLContext, proxy: str | None
) -> http.client.HTTPConnection:
    host, port = parts.hostname or "", parts.port
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, port or 80, timeout=_SECONDS)
    if proxy is None:
        return http.client.HTTPSConnection(host, port or 443, timeout=_SECONDS, context=context)
    by = urlsplit(proxy)
    if by.scheme != "http":
        raise OSError(f"a proxy of the kind {by.scheme}:// is not tried here")
    connection = http.client.HTTPSConnection(
        by.hostname or "", by.port or 80, timeout=_SECONDS, context=context
    )
    connection.set_tunnel(host, port or 443, headers=_credentials(by))
    return connection


def _credentials(proxy: SplitResult) -> dict[str, str]:
    if not proxy.username:
        return {}
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}".encode()
    return {"Proxy-Authorization": f"Basic {base64.b64encode(pair).decode()}"}


def _ahead(date: str | None) -> float | None:
    try:
        return None if date is None else time.time() - parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return None


def _reason(error: Exception) -> str:
    match error:
        case socket.gaierror():
            return "its name does not resolve. Check the network, DNS and the proxy settings"
        case TimeoutError():
            return (
                f"nothing came within {_SECONDS:.0f} s. Check the firewall and the proxy settings"
            )
        case ConnectionRefusedError():
            return "the connection was refused. Check the address and its port"
        case ssl.SSLCertVerificationError():
            return (
                f"its certificate is not trusted ({error.verify_message}). If a proxy inspects "
                "TLS on this network, set SSL_CERT_FILE to a file with its CA"
            )
        case ssl.SSLError():
            return f"TLS failed ({error.reason}). Check the address and the proxy settings"
        case OSError():
            return f"{error.strerror or error}"
    return "the server there does not speak HTTP"
