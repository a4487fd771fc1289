"""Addresses that an image's link may lead to, and those that it may not."""

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address

import httpcore
import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_qwen_image.download import ssrf
from langchain_qwen_image.download.ssrf import (
    GuardedBackend,
    UnsafeAddressError,
    check_host,
    is_loopback,
    is_public,
    is_this_machine,
    plain_http,
    resolve,
)

REFUSED = [
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "2606:4700::1%eth0",
    "fec0::1",
    "ff02::1",
]
PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "100.63.255.255",
    "100.128.0.1",
    "172.32.0.1",
    "47.88.1.1",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "2002:808:808::1",
    "2400:3200::1",
    "2606:4700::1111",
]
HOSTS_REFUSED = [
    "127.0.0.1",
    "127.1",
    "127.0.0.1.",
    "0x7f000001",
    "0x7f.0.0.1",
    "2130706433",
    "0177.0.0.1",
    "0",
    "134744072",
    "localhost",
    "LOCALHOST.",
    "files.localhost",
    "169.254.169.254",
    "[::1]",
    "::1",
    "::ffff:10.0.0.1",
    "fe80::1%eth0",
]


def answering(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Let names resolve to the given addresses, one answer a call; return the names asked for."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        addresses = answers[min(len(asked), len(answers) - 1)]
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port)) for a in addresses]

    monkeypatch.setattr(ssrf.socket, "getaddrinfo", getaddrinfo)
    return asked


@pytest.mark.parametrize("address", REFUSED)
def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    """No special address is public, in whichever form it hides."""
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    """An address of the public is allowed, also behind NAT64, where every IPv4 host is."""
    assert is_public(ip_address(address))


@given(st.integers(0, 2**32 - 1))
def test_wrapping_does_not_change_the_judgement(number: int) -> None:
    """An IPv4 address is judged the same whether it comes bare, mapped, by 6to4 or NAT64."""
    bare = is_public(IPv4Address(number))
    for wrapped in (0xFFFF << 32 | number, 0x2002 << 112 | number << 80, 0x64FF9B << 96 | number):
        assert is_public(IPv6Address(wrapped)) == bare


@given(st.ip_addresses())
def test_loopback_is_never_public(address: IPv4Address | IPv6Address) -> None:
    """No address is both this machine's own and a public one."""
    assert not (is_loopback(address) and is_public(address))


@pytest.mark.parametrize("host", HOSTS_REFUSED)
def test_hosts_that_are_addresses_are_judged_unresolved(host: str) -> None:
    """A host that is an address, or spells one oddly, is refused before any lookup."""
    with pytest.raises(UnsafeAddressError):
        check_host(host)


@pytest.mark.parametrize("host", ["images.example", "8.8.8.8", "[2606:4700::1]", "a.r2.dev", "x"])
def test_names_and_public_addresses_pass_unresolved(host: str) -> None:
    """A name is left to the lookup, a public address is fine."""
    check_host(host)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("LocalHost", True),
        ("localhost.", True),
        ("files.localhost", True),
        ("::1", True),
        ("[::1]", True),
        ("::ffff:127.0.0.1", True),
        ("images.example", False),
        ("localhost.example", False),
        ("127.1", False),
        ("10.0.0.1", False),
        ("", False),
    ],
)
def test_this_machine_is_known_by_its_own_names(host: str, expected: bool) -> None:
    """A host is this machine by a loopback address or as localhost, not by what it resolves to."""
    assert is_this_machine(host) == expected


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("127.1", False),
        ("10.0.0.1", False),
        ("169.254.169.254", False),
        ("0.0.0.0", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
    ],
)
def test_allowing_loopback_allows_nothing_else(host: str, allowed: bool) -> None:
    """With loopback allowed, its plain addresses pass and every other refusal stays."""
    if allowed:
        check_host(host, allow_loopback=True)
    else:
        with pytest.raises(UnsafeAddressError):
            check_host(host, allow_loopback=True)


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["93.184.215.14", "10.0.0.1"], ["fe80::1%eth0"], ["169.254.169.254"]],
)
def test_one_unsafe_address_refuses_a_name(
    monkeypatch: pytest.MonkeyPatch, addresses: list[str]
) -> None:
    """A name is refused when any of its addresses is."""
    answering(monkeypatch, addresses)
    with pytest.raises(UnsafeAddressError, match=r"images\.example leads to"):
        resolve("images.example", 443)


def test_plain_http_stays_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is sent unencrypted is sent to loopback only, even where public addresses pass."""
    answering(monkeypatch, ["93.184.215.14"])
    assert resolve("images.example", 80, allow_loopback=True) == ["93.184.215.14"]
    token = plain_http.set(True)
    try:
        with pytest.raises(UnsafeAddressError, match="plain http"):
            resolve("images.example", 80, allow_loopback=True)
    finally:
        plain_http.reset(token)


@pytest.mark.parametrize("host", ["no-such-name.invalid", "a" * 70 + ".example", "a..example"])
def test_names_that_do_not_resolve_are_connection_failure(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    """A failed lookup, or a name that cannot be one, is a `ConnectError`."""
    real = socket.getaddrinfo

    def getaddrinfo(host: str, *args: object, **kwargs: object) -> object:
        if host.endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(host, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(ssrf.socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(httpcore.ConnectError, match="does not resolve"):
        resolve(host, 443)


def test_the_checked_address_is_the_one_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that answers differently the second time is never asked a second time."""
    asked = answering(monkeypatch, ["93.184.215.14"], ["127.0.0.1"])
    connected: list[str] = []

    def connect_tcp(_: object, host: str, *__: object, **___: object) -> httpcore.NetworkStream:
        connected.append(host)
        return httpcore.MockStream([])

    monkeypatch.setattr(httpcore.SyncBackend, "connect_tcp", connect_tcp)
    GuardedBackend().connect_tcp("images.example", 443)
    assert connected == ["93.184.215.14"]
    assert asked == ["images.example"]


def test_the_next_address_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """When one address does not answer, the next checked one is tried; the last error counts."""
    answering(monkeypatch, ["93.184.215.14", "93.184.215.15"])
    connected: list[str] = []

    def connect_tcp(_: object, host: str, *__: object, **___: object) -> httpcore.NetworkStream:
        connected.append(host)
        raise httpcore.ConnectError(host)

    monkeypatch.setattr(httpcore.SyncBackend, "connect_tcp", connect_tcp)
    with pytest.raises(httpcore.ConnectError, match=r"215\.15"):
        GuardedBackend().connect_tcp("images.example", 443)
    assert connected == ["93.184.215.14", "93.184.215.15"]
