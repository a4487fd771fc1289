"""Which addresses a link from a remote answer may lead to.

A name is judged by what it resolves to, at the moment of connecting, below the HTTP transport: TLS
names, cassettes and redirects stay as they are, and no second lookup can give another answer. The
tables are our own, since what `ipaddress` calls global differs between Python versions.
Sources: IANA's special-purpose address registries; the metadata addresses of cloud providers.

One network is judged by what the machine does: where Clash, sing-box, Surge and their like answer
DNS, every name has an address that they invented, and a connection to it reaches the named host
(openclaw#59395, hermes-agent#113156). Such an answer passes only while the gateway's own name gets
one of the same kind, which is looked up then and there. What TLS says of the host still holds.
"""

import socket
from contextlib import suppress
from contextvars import ContextVar
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

import httpcore

from langchain_qwen_image.download.dns import lookup
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
_FAKE = tuple(
    ip_network(network)
    for network in (
        "198.18.0.0/15",  # benchmarks; the default of Clash, sing-box, Surge and Xray
        "fc00::/18",  # private; the default of sing-box and Xray
        "fdfe:dcba:9876::/64",  # private; mihomo, as its documents show it
        "2001:2::/48",  # benchmarks; mihomo, as its documents show it
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")
_LOOPBACK = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))

plain_http: ContextVar[bool | None] = ContextVar("plain_http", default=None)
"""Whether the fetch under way is not encrypted, so that it may go to loopback only."""


class UnsafeAddressError(Exception):
    """The host is, or resolves to, an address that an image's link must not lead to.

    Attributes:
        lasting: Whether it is the link's own fault. DNS may answer otherwise elsewhere, or later.
    """

    def __init__(self, problem: str, *, lasting: bool = True) -> None:
        """Take a clause that says why."""
        super().__init__(problem)
        self.lasting = lasting


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
    return any(_plain(address) in network for network in _LOOPBACK)


def is_this_machine(host: str) -> bool:
    """Say whether a host, unresolved, is this machine: a loopback address or `localhost`."""
    bare = _bare(host)
    with suppress(ValueError):
        return is_loopback(ip_address(bare))
    return False


def check_host(host: str, *, allow_loopback: bool = False) -> None:
    """Judge a host that is an address; a name is judged once it is resolved.

    Raises:
        UnsafeAddressError: the address is not allowed, or is spelled to hide what it is.
    """
    address = _literal(_bare(host))
    if address is None or is_public(address) or (allow_loopback and is_loopback(address)):
        return
    raise UnsafeAddressError(f"{host} leads to a non-public address, {address}")


def resolve(
    host: str,
    port: int,
    *,
    allow_loopback: bool = False,
    gateway: str = "",
    timeout: float | None = None,
) -> list[str]:
    """Resolve a host within `timeout` seconds and return its addresses, all of them allowed.

    Raises:
        UnsafeAddressError: one of the addresses is not allowed.
        httpcore.ConnectError: the name does not resolve.
    """
    addresses = lookup(host, port, timeout)
    for address in map(ip_address, addresses):
        if allow_loopback and is_loopback(address):
            continue
        if plain_http.get():
            problem = "is not on this machine, and the link is plain http"
        elif is_public(address):
            continue
        elif not (is_fake(address) and _is_name(host)):
            problem = f"leads to a non-public address, {address}"
        elif not _has_fake_address(gateway, _plain(address).version, timeout):
            problem = (
                f"leads to {address}, a non-public address of a fake-IP resolver, but the "
                "gateway's name does not resolve to one"
            )
        else:
            continue
        raise UnsafeAddressError(f"{host} {problem}", lasting=False)
    return addresses


class GuardedBackend(DeadlineBackend):
    """A backend that connects to checked addresses only, and to the very ones it checked."""

    def __init__(
        self,
        *,
        allow_loopback: bool = False,
        loopback_port: int | None = None,
        gateway: str = "",
    ) -> None:
        """Allow loopback addresses in addition, at that port alone if one is named.

        `gateway` is the host whose addresses tell whether DNS is answered by a fake-IP resolver.
        """
        self._allow_loopback = allow_loopback
        self._loopback_port = loopback_port
        self._gateway = gateway

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.NetworkStream:
        """Resolve, then connect to the first address that answers; `timeout` seconds for each."""
        addresses = resolve(
            host,
            port,
            allow_loopback=self._allow_loopback and self._loopback_port in (None, port),
            gateway=self._gateway,
            timeout=timeout,
        )
        for address in addresses[:-1]:
            with suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                return super().connect_tcp(address, port, timeout, local_address, socket_options)
        return super().connect_tcp(addresses[-1], port, timeout, local_address, socket_options)


def is_fake(address: IPv4Address | IPv6Address) -> bool:
    """Say whether an address is one that fake-IP resolvers give out."""
    return any(_plain(address) in network for network in _FAKE)


def _has_fake_address(name: str, version: int, timeout: float | None) -> bool:
    """Look up, now, whether a name has a fake address of this IP version."""
    if not name or not _is_name(name):
        return False
    with suppress(httpcore.ConnectError):
        found = map(ip_address, lookup(name, 443, timeout))
        return any(is_fake(address) and _plain(address).version == version for address in found)
    return False


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return an IPv4 address for its IPv4-mapped form, and any other address as it is."""
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


def _wrapped(address: IPv6Address) -> IPv4Address | None:
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


def _bare(host: str) -> str:
    bare = host.strip("[]").rstrip(".").lower()
    is_local = bare == "localhost" or bare.endswith(".localhost")
    return "127.0.0.1" if is_local else bare


def _is_name(host: str) -> bool:
    try:
        return _literal(_bare(host)) is None
    except UnsafeAddressError:
        return False


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    with suppress(ValueError):
        return ip_address(host)
    try:
        address = socket.inet_aton(host)
    except (OSError, UnicodeError):
        return None
    raise UnsafeAddressError(f"{host} is {IPv4Address(address)} in another notation")
