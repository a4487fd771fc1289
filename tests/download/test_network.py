"""Proxies and certificates: what the environment or a client of the caller's names."""

import asyncio
import io
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpcore
import httpcore2
import httpx
import httpx2
import image_host
import pytest
from image_host import FACTS, SIGNED, Host, failure, quick, reply
from loopback import self_signed

from langchain_qwen_image.download.callers_client import context_for, proxy_for
from langchain_qwen_image.download.fetcher import Fetcher
from langchain_qwen_image.transport.tls import tls_context

host = image_host.host


KEY = "0123456789abcdef0123456789abcdef"
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
URL = httpx.URL("https://images.example/a.png")


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[ssl.SSLContext, Path]:
    """Return a server's context, and the certificate that only a client told of it trusts."""
    return self_signed(tmp_path)


# Proxies


def test_a_proxy_may_be_on_loopback_and_its_refusal_is_failure(
    host: Callable[..., Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guard does not judge the proxy; addresses in the link are judged all the same."""
    proxy = host(reply(b"", "403 Forbidden"))
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    fetcher = Fetcher(sleep=lambda _: None, attempts=2)
    assert "proxy" in str(failure(fetcher, f"https://images.example/a.png{SIGNED}"))
    assert [head.split()[:2] for head in proxy.heads] == [[b"CONNECT", b"images.example:443"]] * 2
    assert "non-public" in str(failure(fetcher, "https://10.0.0.1/a.png"))
    assert len(proxy.heads) == 2
    assert b"sandbox" not in b"".join(proxy.heads)


@pytest.mark.parametrize("variable", PROXIES)
def test_http_links_go_to_a_proxy_by_connect_alone(
    host: Callable[..., Host], monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """No proxy reads a signed link: what says http is asked for by https there too."""
    proxy = host(reply(b"", "403 Forbidden"))
    monkeypatch.setenv(variable, proxy.url)
    real = socket.getaddrinfo

    def lookup(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "127.0.0.1":
            return real(name, *args, **kwargs)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    failure(Fetcher(attempts=1), f"http://images.example/a.png{SIGNED}")
    assert [head.split()[0] for head in proxy.heads] in ([b"CONNECT"], [])
    assert bool(proxy.heads) == (variable != "HTTP_PROXY")
    assert b"a.png" not in b"".join(proxy.heads)


@pytest.mark.parametrize("variable", [*PROXIES, "the client"])
@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LOCALHOST"])
def test_this_machine_is_never_reached_by_a_proxy(
    host: Callable[..., Host], monkeypatch: pytest.MonkeyPatch, variable: str, name: str
) -> None:
    """An image of a local gateway is fetched directly, whatever proxy is named."""
    started, proxy = host(reply()), host(reply())
    client = httpx.Client(proxy=proxy.url if variable == "the client" else None)
    if variable in PROXIES:
        monkeypatch.setenv(variable, proxy.url)
    link = started.link().replace("127.0.0.1", name)
    with client:
        assert quick(clients=(client,)).fetch(link, io.BytesIO()) == FACTS
    assert proxy.heads == []


def test_an_impossible_proxy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxy settings that httpx cannot use are a `DownloadError`, and not quoted."""
    monkeypatch.setenv("ALL_PROXY", "gopher://me:secret@proxy.example")
    error = failure(Fetcher(), "https://images.example/a.png")
    assert "ALL_PROXY is not the address of an HTTP or SOCKS5 proxy" in str(error)
    assert "secret" not in str(error)


def tunnel(to: ssl.SSLContext) -> Callable[[Any], None]:
    """Play a proxy that grants a tunnel, and the host at its other end."""

    def serve(connection: Any) -> None:
        connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with to.wrap_socket(connection, server_side=True) as inner:
            head = b""
            while b"\r\n\r\n" not in head:
                head += inner.recv(65_536)
            assert KEY.encode() not in head
            inner.sendall(reply())

    return serve


@pytest.mark.parametrize("kind", ["Client", "AsyncClient"])
def test_a_proxy_of_the_callers_client_is_used(
    host: Callable[..., Host],
    certificate: tuple[ssl.SSLContext, Path],
    kind: str,
    library: Any,
) -> None:
    """Where the caller's client needs a proxy to get out, the fetch gets out by it too."""
    server, trusted = certificate
    proxy = host(tunnel(server))
    address = proxy.url.replace("//", "//me:secret@")
    context = ssl.create_default_context(cafile=str(trusted))
    client = getattr(library, kind)(
        proxy=address, verify=context, headers={"Ocp-Apim-Subscription-Key": KEY}
    )
    fetcher = Fetcher(clients=(client,), attempts=1)
    assert fetcher.fetch(f"https://gateway.test/a.png{SIGNED}", io.BytesIO()) == FACTS
    assert proxy.heads[0].startswith(b"CONNECT gateway.test:443 ")
    assert b"Proxy-Authorization: Basic" in proxy.heads[0]
    assert KEY.encode() not in proxy.heads[0]


def test_a_proxy_counts_for_the_hosts_that_it_is_mounted_for(library: Any) -> None:
    """A client that has a proxy for some hosts only has it for those."""
    mounts = {"all://images.example": library.HTTPTransport(proxy="http://[::1]:3128")}
    with library.Client(mounts=mounts) as client:
        proxy = proxy_for(URL, [client])
        assert proxy is not None
        assert str(proxy.url) == "http://[::1]:3128"
        assert proxy_for(httpx.URL("https://other.example"), [client]) is None


@pytest.mark.parametrize(("library", "core"), [(httpx, httpcore), (httpx2, httpcore2)])
def test_a_socks_proxy_of_the_callers_client_is_known(library: Any, core: Any) -> None:
    """A SOCKS proxy is taken over with its user; httpx needs an extra to use one."""
    pool = object.__new__(core.SOCKSProxy)
    pool.__dict__ |= {"_proxy_url": core.URL("socks5://h:1080"), "_proxy_auth": (b"me", b"pw")}
    transport = library.HTTPTransport()
    transport._pool = pool
    with library.Client() as client:
        client._transport = transport
        proxy = proxy_for(URL, [client])
        client._transport = library.BaseTransport()
    assert proxy is not None
    assert (str(proxy.url), proxy.auth) == ("socks5://h:1080", ("me", "pw"))


# Certificates


def clients_that_trust(certificate: Path, library: Any = httpx) -> dict[str, Callable[[], Any]]:
    """Return the ways in which a caller's client can be told of a private CA."""

    def context() -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(certificate))

    return {
        "client": lambda: library.Client(verify=context()),
        "async-client": lambda: library.AsyncClient(verify=context()),
        "path": lambda: library.Client(verify=context(), trust_env=False),
        "transport": lambda: library.Client(transport=library.HTTPTransport(verify=context())),
        "mounted": lambda: library.Client(
            mounts={"https://": library.HTTPTransport(verify=context())}, trust_env=False
        ),
        "unverified": lambda: library.Client(verify=False),
    }


WAYS = list(clients_that_trust(Path()))


@pytest.mark.parametrize("way", WAYS)
def test_what_the_callers_client_trusts_is_trusted(
    host: Callable[..., Host],
    certificate: tuple[ssl.SSLContext, Path],
    way: str,
    library: Any,
) -> None:
    """A host whose certificate only the caller's client trusts is fetched from (httpx#475)."""
    server, trusted = certificate
    started = host(reply(), tls=server)
    client = clients_that_trust(trusted, library)[way]()
    assert quick(clients=(client,)).fetch(started.link(), io.BytesIO()) == FACTS


def test_the_systems_store_is_trusted_as_by_httpx2(
    host: Callable[..., Host],
    certificate: tuple[ssl.SSLContext, Path],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Of a folder of certificates a context lists none, and httpx2 trusts the system's."""
    pytest.importorskip("httpx2", "2.16", reason="older ones ask truststore, or certifi")
    server, trusted = certificate
    folder = tmp_path / "certs"
    folder.mkdir()
    shutil.copy(trusted, folder / "ca.pem")
    subprocess.run(["openssl", "rehash", folder], check=True)
    paths = ssl.get_default_verify_paths()._replace(
        openssl_cafile=str(tmp_path / "none"), openssl_capath=str(folder)
    )
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    started = host(reply(), tls=server)
    client = httpx2.Client()
    assert quick(clients=(client,)).fetch(started.link(), io.BytesIO()) == FACTS
    assert len(context_for([client]).get_ca_certs()) > 1  # httpx's own are trusted too


def test_without_such_a_client_the_error_says_what_to_do(
    host: Callable[..., Host], certificate: tuple[ssl.SSLContext, Path]
) -> None:
    """A certificate of an unknown CA is named as the cause, and so are the two ways out."""
    error = failure(quick(attempts=1), host(reply(), tls=certificate[0]).link())
    for words in ("certificate", "SSL_CERT_FILE", "http_client"):
        assert words in str(error)


def test_what_the_process_trusts_stays_trusted(
    host: Callable[..., Host],
    certificate: tuple[ssl.SSLContext, Path],
    monkeypatch: pytest.MonkeyPatch,
    library: Any,
) -> None:
    """A client with certificates of its own, or none to show, takes nothing from the process's."""
    server, trusted = certificate
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    started = host(reply(), tls=server)
    bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    handler = library.MockTransport(lambda _: library.Response(200))
    for client in (library.Client(verify=bare), library.Client(transport=handler)):
        assert quick(clients=(client,)).fetch(started.link(), io.BytesIO()) == FACTS


def test_nothing_else_of_the_callers_client_reaches_the_host(
    host: Callable[..., Host], certificate: tuple[ssl.SSLContext, Path], library: Any
) -> None:
    """No header, cookie, user or certificate of the caller's goes to the host of an image."""
    server, trusted = certificate
    server.verify_mode = ssl.CERT_OPTIONAL
    server.load_verify_locations(trusted)
    context = ssl.create_default_context(cafile=str(trusted))
    context.load_cert_chain(trusted, trusted.with_name("key.pem"))
    client = library.Client(
        verify=context,
        headers={"Ocp-Apim-Subscription-Key": KEY, "Authorization": f"Bearer {KEY}"},
        cookies={"session": KEY},
        params={"key": KEY},
        auth=("me", KEY),
    )
    started = host(reply(), tls=server)
    assert quick(clients=(client,)).fetch(started.link(), io.BytesIO()) == FACTS
    names = [line.split(b":")[0].lower() for line in started.heads[0].splitlines()[1:]]
    assert sorted(names) == [b"accept", b"accept-encoding", b"host", b"user-agent"]
    assert KEY.encode() not in started.heads[0]
    assert started.certificates == [None]


def test_a_context_that_cannot_be_read_is_made_anew() -> None:
    """Of a context without a list of certificates, such as truststore's, another one is made."""

    class SystemContext(ssl.SSLContext):
        def get_ca_certs(self, binary_form: bool = False) -> Any:
            raise NotImplementedError

    theirs = SystemContext(ssl.PROTOCOL_TLS_CLIENT)
    with httpx.Client(verify=theirs) as client:
        ours = context_for([client])
    assert type(ours) is SystemContext
    assert ours is not theirs


def test_old_proxies_that_the_client_tolerates_are_tolerated() -> None:
    """Strictness that the caller switched off is off for fetches too, and nothing else is."""
    theirs = ssl.create_default_context()
    theirs.verify_flags &= ~ssl.VerifyFlags.VERIFY_X509_STRICT
    theirs.options |= 0x4  # OP_LEGACY_SERVER_CONNECT
    theirs.check_hostname = False
    with httpx.Client(verify=theirs) as client:
        ours = context_for([client])
    assert not ours.verify_flags & ssl.VerifyFlags.VERIFY_X509_STRICT
    assert ours.options & 0x4
    assert ours.check_hostname
    assert ours.verify_mode == ssl.CERT_REQUIRED


@pytest.mark.parametrize(
    "content", [None, b"", b"no certificate"], ids=["missing", "empty", "junk"]
)
@pytest.mark.parametrize("probe", [False, True], ids=["fetch", "probe"])
def test_certificates_that_cannot_be_read_are_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None, probe: bool
) -> None:
    """A bad SSL_CERT_FILE is a `DownloadError`, and the link is kept (anaconda-issues#13509)."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    error = failure(Fetcher(), f"https://images.example/a.png{SIGNED}", probe=probe)
    assert f"SSL_CERT_FILE names {str(path)!r}" in str(error)
    assert "valid until 2100" in str(error)
    assert error.__cause__ is error.__context__ is None


def test_a_key_log_that_cannot_be_written_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whatever else TLS cannot be set up for is a `DownloadError` too, and no bare OSError."""
    client = httpx.Client()
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "missing" / "keys.log"))
    error = failure(Fetcher(clients=(client,)), f"https://images.example/a.png{SIGNED}")
    assert "TLS cannot be set up" in str(error)
    assert error.__cause__ is error.__context__ is None


def test_a_client_does_without_the_certificates_of_the_environment(
    host: Callable[..., Host],
    certificate: tuple[ssl.SSLContext, Path],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    library: Any,
) -> None:
    """A client whose certificates are good serves fetches where SSL_CERT_FILE names nothing."""
    server, trusted = certificate
    client = library.Client(verify=ssl.create_default_context(cafile=str(trusted)))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))
    started = host(reply(), tls=server)
    assert quick(clients=(client,)).fetch(started.link(), io.BytesIO()) == FACTS


def test_httpx_shows_the_certificates_and_proxies_of_a_client(library: Any) -> None:
    """The private attributes that are read of a client exist in the installed libraries."""
    with library.Client(proxy="http://proxy.example:3128") as client:
        assert context_for([client]) is not tls_context()
        assert proxy_for(URL, [client]) is not None
    client = library.AsyncClient(proxy="http://proxy.example:3128")
    assert context_for([client]) is not tls_context()
    assert proxy_for(URL, [client]) is not None
    asyncio.run(client.aclose())
