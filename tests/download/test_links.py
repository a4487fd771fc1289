"""Where a link may lead, and what goes out for it."""

import io
import socket
from collections.abc import Callable

import httpcore
import httpx
import image_host
import pytest
from hypothesis import given
from hypothesis import strategies as st
from image_host import (
    FACTS,
    SIGNED,
    Fetch,
    Host,
    Internet,
    failure,
    never,
    quick,
    redirect,
    reply,
)

from langchain_qwen_image.download import ssrf
from langchain_qwen_image.download.fetcher import Fetcher
from langchain_qwen_image.download.url import Target
from langchain_qwen_image.errors import DownloadError

host = image_host.host
fetch = image_host.fetch


@pytest.mark.parametrize(
    ("link", "words"),
    [
        ("http://images.example:8080/a.png", "not https, and names port 8080"),
        ("http://images.example:443/a.png", "not https, and names port 443"),
        ("http://images.example:0/a.png", "not https, and names port 0"),
        ("http://images.example:x/a.png", "cannot be read"),
        ("http://images.example:9999999999/a.png", "cannot be read"),
        ("http://user:pass@images.example/a.png", "names a user"),
        ("http:///a.png", "cannot be read"),
        ("http://127.0.0.1/", "non-public"),
        ("http://127.0.0.1:8080/", "not https"),
        ("http://localhost/", "non-public"),
        ("http://169.254.169.254/latest/meta-data/", "non-public"),
        ("http://198.18.0.7/", "non-public"),
        ("https://198.18.0.7/", "non-public"),
        ("http://[::1]:80/", "non-public"),
        ("http://2130706433/", "in another notation"),
        ("ftp://images.example/a.png", "not https"),
        ("file:///etc/passwd", "not https"),
        ("gopher://127.0.0.1:6379/_FLUSHALL", "not https"),
        ("//images.example/a.png", "not https"),
        ("/etc/passwd", "not https"),
        ("javascript:alert(1)", "not https"),
        ("", "not https"),
        ("https://", "cannot be read"),
        ("https:///a.png", "cannot be read"),
        ("https://user:pass@images.example/a.png", "names a user"),
        ("https://images.example@127.0.0.1/a.png", "names a user"),
        ("https://127.0.0.1\\@images.example/", "names a user"),
        ("https://images.example:0/a.png", "cannot be read"),
        ("https://images.example:70000/a.png", "cannot be read"),
        ("https://images.example:x/a.png", "cannot be read"),
        ("https://pic tures.example/a.png", "cannot be read"),
        ("https://pic\r\ntures.example/a.png", "cannot be read"),
        ("https://-images.example/a.png", "cannot be read"),
        ("https://[::1/a.png", "cannot be read"),
        ("https://[::1%25lo]/a.png", "cannot be read"),
        ("https://\uff11\uff12\uff17.0.0.1/", "cannot be read"),
        ("https://" + "a" * 70_000 + "/", "cannot be read"),
        ("https://xn--/x.png", "cannot be read"),
        ("https://xn---/x.png", "cannot be read"),
        ("https://images.xn--99999999/x.png", "cannot be read"),
        ("https://" + "a" * 64 + ".example/", "cannot be read"),
        ("https://" + "a." * 127 + "example/", "cannot be read"),
        ("https://images..example/", "cannot be read"),
        ("https://images.example../", "cannot be read"),
        ("https://images.example:65536/", "cannot be read"),
        ("https://images.example:-1/", "cannot be read"),
        ("https://images%00.example/", "cannot be read"),
        ("https://im\udc80ages.example/", "cannot be read"),
        ("https://127.0.0.1/", "non-public"),
        ("https://127.1/", "in another notation"),
        ("https://0x7f000001/", "in another notation"),
        ("https://2130706433/", "in another notation"),
        ("https://0/", "in another notation"),
        ("https://localhost/", "non-public"),
        ("https://169.254.169.254/latest/meta-data/", "non-public"),
        ("https://[::ffff:169.254.169.254]/", "non-public"),
        ("https://[64:ff9b::a9fe:a9fe]/", "non-public"),
        ("https://[2002:a9fe:a9fe::]/", "non-public"),
        ("https://[fec0::1]/", "non-public"),
    ],
)
def test_hostile_links_are_refused_unsent(fetch: Fetch, link: str, words: str) -> None:
    """A link that is not a plain https link to a public host is refused before anything is sent."""
    fetcher = Fetcher(transport=httpx.MockTransport(never))
    with pytest.raises(DownloadError, match=words) as caught:
        fetch(fetcher, link, io.BytesIO())
    assert "not safe" in str(caught.value)
    assert "will not help" in str(caught.value)
    assert "pass@" not in str(caught.value)


def test_a_name_that_leads_inside_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name is judged by what it resolves to, once, and not repeated."""
    asked: list[str] = []

    def getaddrinfo(name: str, port: int, **_: object) -> list[tuple[object, ...]]:
        asked.append(name)
        return [(0, 0, 0, "", ("10.0.0.1", port))]

    monkeypatch.setattr(ssrf.socket, "getaddrinfo", getaddrinfo)
    error = failure(Fetcher(), f"https://images.example/a.png{SIGNED}")
    assert "leads to a non-public address, 10.0.0.1" in str(error)
    assert asked == ["images.example"]


def test_tls_is_for_the_name_and_not_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checked address is connected to, and the certificate must be the name's."""
    seen: list[object] = []

    class Stream(httpcore.MockStream):
        def start_tls(self, *args: object, **kwargs: object) -> httpcore.NetworkStream:
            seen.extend([*args, *kwargs.values()])
            return self

    def connect_tcp(_: object, address: str, *__: object, **___: object) -> httpcore.NetworkStream:
        seen.append(address)
        return Stream([reply()])

    def getaddrinfo(name: str, port: int, **_: object) -> list[tuple[object, ...]]:
        return [(0, 0, 0, "", ("93.184.215.14", port))]

    monkeypatch.setattr(ssrf.socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(httpcore.SyncBackend, "connect_tcp", connect_tcp)
    assert Fetcher().fetch("https://images.example/a.png", io.BytesIO()) == FACTS
    assert seen[0] == "93.184.215.14"
    assert "images.example" in seen


TARGETS = [
    "/a%2Fb.png?Signature=a%2Bb%3D&x=%7E~'|",
    "/a/../b/./c.png?x=1",
    "/%2e%2E/a%2fb.png?a=%2B&b=%2b",
    '/a.png?x="<>`{}^',
    "/a%20b.png?x=a%20b+c",
    "/?",
    "//x//y.png?&&=",
    "/a.png?u=http://other.example/?x=1",
]


@pytest.mark.parametrize("target", TARGETS)
def test_the_link_goes_out_byte_for_byte(host: Callable[..., Host], target: str) -> None:
    """Path and query reach the wire as they stand in the link, fragment excepted."""
    started = host(redirect("/hop" + target), reply())
    quick().fetch(started.link(target + "#part"), io.BytesIO())
    lines = [head.split(b"\r\n")[0] for head in started.heads]
    expected = [target, "/hop" + target]
    assert lines == [f"GET {sent} HTTP/1.1".encode() for sent in expected]


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="#")))
def test_printable_targets_are_never_altered(rest: str) -> None:
    """Every printable character of a link's path and query stays as it is."""
    target = Target(f"https://images.example/{rest}", allow_loopback=False)
    assert target.url.raw_path == f"/{rest}".encode()


_PIECES = st.sampled_from(
    ["xn--", "xn--a", "http", ":", "//", "@", "[", "]", ":80", ".", "-", "%", "\\", "?", "#", "::1"]
)
_TEXT = st.text() | st.lists(st.text(max_size=3) | _PIECES).map("".join)


@given(text=_TEXT, allow_loopback=st.booleans())
def test_any_text_ends_in_a_download_error(text: str, allow_loopback: bool) -> None:
    """Whatever is given for a link, the one thing that can happen is the one error."""

    def lookup(*_: object, **__: object) -> object:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    links = (text, f"https://{text}", f"http://{text}", f"https://h/{text}", f"data:{text}")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(socket, "getaddrinfo", lookup)
        fetcher = quick(allow_loopback=allow_loopback, attempts=1, timeout=1.0)
        for link in links:
            failure(fetcher, link)


@given(text=_TEXT)
def test_any_location_ends_in_a_download_error(text: str) -> None:
    """Wherever a host redirects to, nothing but the one error comes of it."""
    location = text.encode("utf-8", "replace")
    answers = [httpx.Response(302, headers={b"location": location}), *[httpx.Response(404)] * 3]
    fetcher = Fetcher(transport=httpx.MockTransport(lambda _: answers.pop(0)))
    failure(fetcher, "https://images.example/a.png")


@pytest.mark.parametrize(
    "host", ["xn--i-7iq.example", "xn--mgbh0fb.example", "a_b.r2.dev", "images.example.", "a-.x"]
)
def test_names_that_only_httpx_finds_odd_are_looked_up(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    """A name that DNS can hold is asked for as it is spelled, also one that IDNA 2008 refuses."""
    internet = Internet(monkeypatch)
    internet.names[host] = ["93.184.215.14"]
    assert Fetcher().fetch(f"https://{host}/a.png", io.BytesIO()) == FACTS
    assert internet.asked == [host]


# Links that say http


@pytest.mark.parametrize("allow_loopback", [False, True])
@pytest.mark.parametrize(
    "start",
    [
        "http://images.example",
        "http://images.example:80",
        "HTTP://images.example:",
        " \nhttp://images.example:080",
    ],
)
def test_http_is_asked_for_by_https(
    monkeypatch: pytest.MonkeyPatch, start: str, allow_loopback: bool
) -> None:
    """A link that says http, on its own port, is asked for by https, byte for byte."""
    internet = Internet(monkeypatch)
    fetcher = Fetcher(allow_loopback=allow_loopback)
    assert fetcher.fetch(f"{start}/a%2Fb.png{SIGNED}", io.BytesIO()) == FACTS
    assert internet.connected == [("93.184.215.14", 443)]
    assert internet.tls_names == ["images.example"]
    head = b"".join(internet.sent)
    assert head.startswith(f"GET /a%2Fb.png{SIGNED} HTTP/1.1\r\nHost: images.example\r\n".encode())


@pytest.mark.parametrize(
    ("first", "location"),
    [
        ("https://images.example/a.png", "http://images.example/b.png"),
        ("https://images.example/a.png", "http://images.example:80/b.png"),
        ("http://images.example/a.png", "/b.png"),
        ("http://images.example/a.png", "//images.example/b.png"),
        ("http://images.example/a.png", "b.png"),
    ],
)
def test_every_redirect_goes_on_by_https(
    monkeypatch: pytest.MonkeyPatch, first: str, location: str
) -> None:
    """A redirect to http is followed by https, and a relative one stays with it."""
    internet = Internet(monkeypatch, redirect(location), reply())
    assert Fetcher().fetch(first, io.BytesIO()) == FACTS
    assert [port for _, port in internet.connected] == [443, 443]
    assert b"GET /b.png HTTP/1.1" in b"".join(internet.sent)


def test_what_https_cannot_fetch_stays_unfetched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where https brings nothing, the error says until when to try, and plain http is not tried."""
    internet = Internet(monkeypatch, b"this is no HTTP at all\r\n\r\n")
    error = failure(Fetcher(sleep=lambda _: None), f"http://images.example/a.png{SIGNED}")
    assert "valid until 2100-01-01 00:00 UTC" in str(error)
    assert {port for _, port in internet.connected} == {443}


def test_redirects_are_followed_thrice(host: Callable[..., Host]) -> None:
    """Three redirects are followed, to other hosts too; each is a new bare GET."""
    other = host(redirect("b.png"), reply())
    first = host(redirect("/x/y?q=1"), redirect(other.link("/deep/a.png?z=%2B")))
    assert quick().fetch(first.link(), io.BytesIO()) == FACTS
    assert [head.split()[1] for head in other.heads] == [b"/deep/a.png?z=%2B", b"/deep/b.png"]


def test_https_is_never_left(fetch: Fetch) -> None:
    """A redirect from https to http is refused, even where http is allowed."""
    answer = httpx.Response(302, headers={"location": "http://127.0.0.1/a.png"})
    fetcher = quick(transport=httpx.MockTransport(lambda _: answer))
    with pytest.raises(DownloadError, match="from https to http"):
        fetch(fetcher, "https://images.example/a.png", io.BytesIO())


def test_plain_http_goes_to_loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allowing loopback does not send a signed link over the network unencrypted."""
    internet = Internet(monkeypatch)
    assert "plain http" in str(failure(quick(), "http://images.example:8080/a.png"))
    assert internet.connected == []
