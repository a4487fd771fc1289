"""Which proxy an address is reached through, by the variables that curl and httpx know.

httpx 0.28 fails on entries of `NO_PROXY` that others understand (`[::1]`, `fd00::/8`, httpx#3221),
takes the address of a network for a host, and sends a request for this machine to the proxy, key
and all. So the choice is made here, and httpx is given the proxy, or none.
"""

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.util import find_spec
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.request import getproxies

import httpx

_PORTS = {"http": 80, "https": 443}
_SOCKS = ("socks5", "socks5h")
_PORT = re.compile(r"(?P<name>.*?)(?::(?P<port>\d+))?/?")
_BRACKETED = re.compile(r"\[([^\]]*)\](/\d+)?\Z")
_NAME = re.compile(r"[\w.*-]*[\w*][\w.*-]*")


@dataclass(frozen=True, slots=True)
class _Setting:
    """A proxy setting: where it stands, for messages, and its value, which may hold a password."""

    variable: str
    value: str


@dataclass(frozen=True, slots=True)
class _Target:
    scheme: str
    host: str
    port: int | None


def proxy_for(url: str, environ: Mapping[str, str] | None = None) -> str | None:
    """Return the address of the proxy for `url`, or None for a direct connection.

    This machine is never asked through a proxy.

    Args:
        url: Address that is asked for.
        environ: Environment variables; by default the process's, and on macOS and Windows the
            system's own settings where these name no proxy.

    Raises:
        ValueError: The proxy, or an entry of `NO_PROXY`, cannot be used; the message names the
            variable, and never shows a password.
        httpx.InvalidURL: `url` cannot be parsed.
    """
    settings = _from_system() if environ is None else _from_variables(environ)
    target = _target(url)
    setting = settings.get(target.scheme) or settings.get("all")
    if setting is None or _is_this_machine(target.host):
        return None
    no_proxy = settings.get("no")
    if no_proxy is not None and _is_exempt(target, no_proxy):
        return None
    return _usable(setting)


def proxy_problem(environ: Mapping[str, str], url: str) -> str | None:
    """Say why `url` cannot be reached with these proxy variables, or None where it may be."""
    try:
        proxy_for(url, environ)
    except ValueError as problem:
        return str(problem)
    return None


def _from_system() -> Mapping[str, _Setting]:
    return _from_variables(os.environ) or {
        scheme: _Setting("the system's proxy settings", value)
        for scheme, value in getproxies().items()
    }


def _from_variables(environ: Mapping[str, str]) -> Mapping[str, _Setting]:
    """Read the variables as Python does: the name in lower case wins, and unsets when empty.

    `HTTP_PROXY` in capitals is what a CGI server makes of a visitor's header `Proxy` (httpoxy).
    """
    found = {}
    for key in ("http", "https", "all", "no"):
        for name in (f"{key}_proxy", f"{key.upper()}_PROXY"):
            if name == "HTTP_PROXY" and "REQUEST_METHOD" in environ:
                continue
            if name in environ:
                found[key] = _Setting(name, environ[name].strip())
                break
    return {key: setting for key, setting in found.items() if setting.value}


def _target(url: str) -> _Target:
    parsed = httpx.URL(url)  # not its `host`: a name that idna refuses may well resolve
    host = parsed.raw_host.decode("ascii").lower().rstrip(".")
    return _Target(parsed.scheme, host, parsed.port or _PORTS.get(parsed.scheme))


def _is_this_machine(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    with suppress(ValueError):
        address = ip_address(host)
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        return (mapped or address).is_loopback
    return False


def _is_exempt(target: _Target, no_proxy: _Setting) -> bool:
    """Say whether an entry names the target; one that cannot be read matters if no other does."""
    unreadable = None
    for entry in re.split(r"[\s,;]+", no_proxy.value):
        try:
            if entry and _names(entry.lower(), target):
                return True
        except ValueError:
            unreadable = unreadable or entry
    if unreadable is not None:
        raise ValueError(
            f"{no_proxy.variable} has the entry {unreadable!r}, which is neither a host name nor "
            "an address, a network such as 10.0.0.0/8, or *. Correct or remove it."
        )
    return False


def _names(entry: str, target: _Target) -> bool:
    """Say whether an entry names the target.

    Raises:
        ValueError: It is neither a host nor an address nor a network.
    """
    if entry == "<local>":  # as Windows writes it
        return "." not in target.host and ":" not in target.host
    scheme, _, rest = entry.rpartition("://")
    network = _network(rest)
    name, port = (rest, None) if network else _split(rest)
    network = network or _network(name)
    is_named = _is_in(target.host, network) if network else _is_named(target.host, name)
    return is_named and scheme in ("", "all", target.scheme) and port in (None, target.port)


def _split(rest: str) -> tuple[str, int | None]:
    found = _PORT.fullmatch(rest)
    if found is None:
        raise ValueError(rest)
    return found["name"], int(found["port"]) if found["port"] else None


def _network(text: str) -> IPv4Network | IPv6Network | None:
    """Read an address or a network, with or without the brackets that IPv6 has in a URL."""
    bare = re.sub(r"%[^/\]]*", "", text)  # a zone says nothing about a host elsewhere
    bare = _BRACKETED.sub(r"\1\2", bare)
    with suppress(ValueError):
        return ip_network(bare, strict=False)
    return None


def _is_in(host: str, network: IPv4Network | IPv6Network) -> bool:
    with suppress(ValueError):
        return ip_address(host) in network
    return False


def _is_named(host: str, name: str) -> bool:
    """Compare as httpx does: `a.example` is also its subdomains, `.a.example` only these."""
    if not _NAME.fullmatch(name):
        raise ValueError(name)
    if not name.isascii():
        name = _ascii(name.strip(".*"))
    if name == "*":
        return True
    if "*" in name.removeprefix("*"):
        return fnmatchcase(host, name)
    bare = name.removeprefix("*").strip(".")
    is_parent = host.endswith(f".{bare}")
    return is_parent if name.startswith((".", "*.")) else is_parent or host == bare


def _ascii(name: str) -> str:
    try:
        return httpx.URL(f"http://{name}").raw_host.decode("ascii")
    except httpx.InvalidURL as error:
        raise ValueError(name) from error


def _usable(setting: _Setting) -> str:
    address = setting.value if "://" in setting.value else f"http://{setting.value}"
    reason = _unusable(address)
    if reason is None:
        return address
    raise ValueError(f"{setting.variable} {reason}. Correct or unset it.")


def _unusable(address: str) -> str | None:
    if "?" in address or "#" in address:
        return "has a ? or a #; write those of a password as %3F and %23"
    try:
        parsed = httpx.URL(address)
        httpx.Proxy(parsed)
        usable = bool(parsed.host) and parsed.port != 0 and (parsed.port or 1) < 65536
    except (httpx.InvalidURL, ValueError):
        usable = False
    if not usable:
        return "is not the address of an HTTP or SOCKS5 proxy, such as http://host:port"
    if parsed.scheme in _SOCKS and find_spec("socksio") is None:
        return "names a SOCKS proxy, which needs the package socksio: pip install httpx[socks]"
    return None
