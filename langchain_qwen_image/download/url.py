"""Where a link leads: one parser for what is judged, what is connected to and what is sent."""

import re
from contextlib import suppress
from string import ascii_letters, digits, punctuation
from urllib.parse import quote, urljoin

import httpx

from langchain_qwen_image.download.ssrf import UnsafeAddressError, check_host, is_this_machine

_LINK = re.compile(r"(https?)://([^/?#]*)([^#]*)", re.IGNORECASE)
_HOST = re.compile(
    r"(?=[a-z0-9])([a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}\.?|[0-9a-f:.]*:[0-9a-f:.]*", re.IGNORECASE
)
_LONGEST_HOST = 254
_PORT = re.compile(r":([0-9]{0,9})$")
_AS_IT_CAME = ascii_letters + digits + punctuation
_SHOWN = 120


class ExactURL(httpx.URL):
    """A URL whose path and query go out byte for byte; httpx would put some of them in order."""

    def __init__(self, url: str, target: str) -> None:
        """Take the whole URL, and its path and query as they are to be sent."""
        super().__init__(url)
        self._target = target.encode("ascii")

    @property
    def host(self) -> str:
        """The host in ASCII; httpx would decode it, and raise at names that IDNA 2008 refuses."""
        return self.raw_host.decode("ascii")

    @property
    def raw_path(self) -> bytes:
        """Path and query as they came."""
        return self._target

    def __repr__(self) -> str:
        return f"{type(self).__name__}({place(str(self))})"


class Target:
    """One stop on the way to an image."""

    def __init__(self, link: str, *, allow_loopback: bool) -> None:
        """Parse a link and judge what can be judged before its name is resolved.

        Raises:
            UnsafeAddressError: its scheme, its host or a part of it is not allowed.
        """
        scheme, authority, target = _split(link)
        if set("@\\") & set(authority):
            raise UnsafeAddressError("the link names a user before its host")
        if scheme == "http":
            scheme, authority = _secured(authority, allow_loopback=allow_loopback)
        target = quote(target, safe=_AS_IT_CAME, errors="replace")
        self.link = f"{scheme}://{authority}{target}"
        self.is_plain = scheme == "http"
        self.url = _exact_url(self.link, target if target[:1] == "/" else f"/{target}")
        check_host(self.url.raw_host.decode("ascii"), allow_loopback=allow_loopback)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({place(self.link)})"

    def redirected(self, location: str, *, allow_loopback: bool) -> "Target":
        """Return the stop that a redirect leads to.

        Raises:
            UnsafeAddressError: it must not be followed.
        """
        further = Target(_joined(self.link, location), allow_loopback=allow_loopback)
        if further.is_plain and not self.is_plain:
            raise UnsafeAddressError("it was redirected from https to http")
        return further


def _secured(authority: str, *, allow_loopback: bool) -> tuple[str, str]:
    """Return scheme and authority for an http link: https on 443 in place of http on 80.

    OSS's own samples are http links, and its signature does not cover the scheme. Plain http is
    left for this machine, which other ports are held to when they are connected to.
    """
    found = _PORT.search(authority)
    host, port = (authority[: found.start()], found[1]) if found else (authority, "")
    if allow_loopback and is_this_machine(host):
        return "http", authority
    if not port or int(port) == 80:
        return "https", host
    if allow_loopback:
        return "http", authority
    raise UnsafeAddressError(f"the link is not https, and names port {int(port)}")


def _joined(link: str, location: str) -> str:
    """Resolve a `Location`; one that names a whole path stays byte for byte."""
    if location.startswith("/") and not location.startswith("//"):
        scheme, authority, _ = _split(link)
        return f"{scheme}://{authority}{location}"
    if _LINK.match(location):
        return location
    with suppress(ValueError):
        return urljoin(link, location)
    raise UnsafeAddressError("it was redirected to an address that cannot be read")


def _split(link: str) -> tuple[str, str, str]:
    found = _LINK.match(link.strip())
    if found is None:
        raise UnsafeAddressError("the link is not https")
    scheme, authority, target = found.groups()
    return scheme.lower(), authority, target


def _exact_url(link: str, target: str) -> ExactURL:
    with suppress(httpx.InvalidURL, ValueError):
        url = ExactURL(link, target)
        port = 443 if url.port is None else url.port
        if _is_host(url.host) and 0 < port < 65_536:
            return url
    raise UnsafeAddressError("its host cannot be read")


def _is_host(host: str) -> bool:
    """Say whether a host can be looked up and be named to TLS: labels of 63 characters at most.

    Raises:
        UnicodeError: a label in Punycode that means nothing.
    """
    if len(host) > _LONGEST_HOST or not _HOST.fullmatch(host):
        return False
    labels = host.lower().split(".")
    return all(label[4:].encode().decode("punycode") for label in labels if label[:4] == "xn--")


def place(link: str) -> str:
    """Return a link's host and path for a message, without user, query and control characters."""
    if link[:5].lower() == "data:":
        return "a data: URI"
    host_and_path = link.partition("?")[0].partition("#")[0].rpartition("://")[2]
    authority, slash, path = host_and_path.partition("/")
    shown = authority.rpartition("@")[2] + slash + path
    return "".join(c for c in shown if c.isprintable())[:_SHOWN]
