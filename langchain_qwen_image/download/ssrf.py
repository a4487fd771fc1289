"""Which addresses a link from a remote answer may lead to.

A name is judged by what it resolves to, at the moment of connecting, below the HTTP transport: TLS
names, cassettes and redirects stay as they are, and no second lookup can give another answer. The
tables are our own, since what `ipaddress` calls global differs between Python versions.
Sources: IANA's special-purpose address registries; the metadata addresses of cloud providers.
"""

import socket
from contextlib import suppress
from contextvars import ContextVar
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

import httpcore

from langchain_qwen_image.transport.deadline import DeadlineBackend

_REFUSED_V4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT; Alibaba's metadata
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's metadata
        "169.254.0.0/16",  # link-local; everyone else's metadata
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments; Oracle's metadata
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
_UNICAST_V6 = IPv6Network("2000::/3")
"""All that is handed out to the public: local, multicast and reserved networks lie outside."""
_REFUSED_V6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments: Teredo, benchmarks, ORCHID
        "2001:db8::/32",  # documentation
        "3fff::/20",  # documentation
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")
_LOOPBACK = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))

plain_http: ContextVar[bool | None] = ContextVar("plain_http", default=None)
"""Whether the fetch under way is not encrypted, so that it may go to loopback only."""


class UnsafeAddressError(Exception):
    """The host is, or resolves to, an address that an image's link must not lead to."""


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Say whether an address is a public one, also when it wraps an IPv4 address."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _REFUSED_V4)
    inner = _wrapped(address)
    if inner is not None:
        return is_public(inner)
    return (
        address.scope_id is None
        and address in _UNICAST_V6
        and not any(address in network for network in _REFUSED_V6)
    )


def is_loopback(address: IPv4Address | IPv6Address) -> bool:
    """Say whether an address is this machine's own, in its plain or IPv4-mapped form."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return any((mapped or address) in network for network in _LOOPBACK)


def check_host(host: str, *, allow_loopback: bool = False) -> None:
    """Judge a host that is an address by itself; a name is judged once it is resolved.

    Raises:
        UnsafeAddressError: the address is not allowed, or is spelled to hide what it is.
    """
    bare = host.strip("[]").rstrip(".").lower()
    if bare == "localhost" or bare.endswith(".localhost"):
        bare = "127.0.0.1"
    address = _literal(bare)
    if address is not None:
        _check(host, address, allow_loopback=allow_loopback, loopback_only=False)


def resolve(host: str, port: int, *, allow_loopback: bool = False) -> list[str]:
    """Resolve a host and return its addresses, in order, all of them allowed.

    Raises:
        UnsafeAddressError: one of the addresses is not allowed.
        httpcore.ConnectError: the name does not resolve.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not a name"
    else:
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        for address in addresses:
            _check(
                host,
                ip_address(address),
                allow_loopback=allow_loopback,
                loopback_only=bool(plain_http.get()),
            )
        return addresses
    raise httpcore.ConnectError(f"the name does not resolve: {reason}")


class GuardedBackend(DeadlineBackend):
    """A backend that connects to checked addresses only, and to the very ones it checked."""

    def __init__(self, *, allow_loopback: bool = False) -> None:
        """Allow loopback addresses in addition, or public ones only."""
        self._allow_loopback = allow_loopback

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address of `host` that answers within `timeout` seconds."""
        addresses = resolve(host, port, allow_loopback=self._allow_loopback)
        for address in addresses[:-1]:
            with suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                return super().connect_tcp(address, port, timeout, local_address, socket_options)
        return super().connect_tcp(addresses[-1], port, timeout, local_address, socket_options)


def _check(
    host: str, address: IPv4Address | IPv6Address, *, allow_loopback: bool, loopback_only: bool
) -> None:
    if allow_loopback and is_loopback(address):
        return
    if loopback_only:
        raise UnsafeAddressError(f"{host} is not on this machine, and the link is plain http")
    if not is_public(address):
        raise UnsafeAddressError(f"{host} leads to a non-public address, {address}")


def _wrapped(address: IPv6Address) -> IPv4Address | None:
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    with suppress(ValueError):
        return ip_address(host)
    try:
        address = socket.inet_aton(host)
    except (OSError, UnicodeError):
        return None
    raise UnsafeAddressError(f"{host} is {IPv4Address(address)} in disguise")
