"""What a caller's own HTTP client knows of the network: its certificates and its proxies.

A machine from which the gateway is reached by a private CA or a proxy reaches an image's host by
them too (httpx#475). Nothing else of that client serves a fetch: no header, cookie, credential or
client certificate may come to a host that the caller did not choose. httpx has no public way to
ask a client for either, so private attributes are read; a test holds that they exist.
"""

import ssl
from collections.abc import Iterable, Iterator
from typing import Any

import httpx

from langchain_qwen_image.transport.http_libraries import (
    AsyncHttpClient,
    HttpClient,
    core_classes,
    library_of,
)
from langchain_qwen_image.transport.tls import tls_context

AnyClient = HttpClient | AsyncHttpClient

_LEGACY_SERVER_CONNECT = 0x4
"""What proxies without secure renegotiation need; `ssl` has a name for it from Python 3.12 on."""


def context_for(clients: Iterable[AnyClient]) -> ssl.SSLContext:
    """Return a TLS context that trusts what this process trusts, and what these clients trust.

    Raises:
        ValueError: certificates that the environment names cannot be used, and no client has
            others.
    """
    theirs = [context for client in clients for context in _contexts(client)]
    if not theirs:
        return tls_context()
    context = _process_context(library_of(client) for client in clients)
    for other in theirs:
        try:
            _add(other, to=context)
        except NotImplementedError:  # truststore's: it trusts the system's store, and has no list
            if type(context) is not type(other):
                listed, context = context, type(other)(ssl.PROTOCOL_TLS_CLIENT)
                _add(listed, to=context)
    return context


def proxy_for(url: httpx.URL, clients: Iterable[AnyClient]) -> httpx.Proxy | None:
    """Return the proxy that one of these clients uses for an address, if any does."""
    for client in clients:
        pool = _pool_for(url, client)
        if isinstance(pool, core_classes("HTTPProxy", "AsyncHTTPProxy")):
            return httpx.Proxy(
                _address(pool._proxy_url),
                headers=httpx.Headers(pool._proxy_headers),
                ssl_context=pool._proxy_ssl_context,
            )
        if isinstance(pool, core_classes("SOCKSProxy", "AsyncSOCKSProxy")):
            user, password = pool._proxy_auth or (b"", b"")
            auth = (user.decode(), password.decode()) if pool._proxy_auth else None
            return httpx.Proxy(_address(pool._proxy_url), auth=auth)
    return None


def _pool_for(url: httpx.URL, client: Any) -> Any:
    return getattr(client._transport_for_url(url), "_pool", None)


def _contexts(client: AnyClient) -> Iterator[ssl.SSLContext]:
    """Yield the contexts of a client's transports; one of the caller's own kind may have none."""
    for transport in (client._transport, *client._mounts.values()):
        context = getattr(getattr(transport, "_pool", None), "_ssl_context", None)
        if isinstance(context, ssl.SSLContext):
            yield context


def _process_context(libraries: Iterable[Any]) -> ssl.SSLContext:
    """Return a context that trusts what these libraries do by default, and httpx.

    httpx2 trusts the system's store. That is often a folder, whose certificates no context lists.
    """
    ours = _default_context(httpx)
    for library in libraries:
        if library is not httpx:
            context = _default_context(library)
            _add(ours, to=context)
            context.verify_flags = ours.verify_flags
            return context
    return ours


def _default_context(library: Any) -> ssl.SSLContext:
    try:
        context: ssl.SSLContext = library.create_ssl_context()
    except OSError:  # SSL_CERT_FILE names nothing, and a client of the caller's does without
        context = library.create_ssl_context(trust_env=False)
    return context


def _add(other: ssl.SSLContext, *, to: ssl.SSLContext) -> None:
    """Let one context trust what another trusts, and be as tolerant of old proxies."""
    certificates = other.get_ca_certs(binary_form=True)
    if certificates:
        to.load_verify_locations(cadata=b"".join(certificates))
    to.verify_flags &= other.verify_flags
    to.options |= other.options & _LEGACY_SERVER_CONNECT
    if other.verify_mode == ssl.CERT_NONE:  # the caller's own choice, by `verify=False`
        to.check_hostname = False
        to.verify_mode = ssl.CERT_NONE


def _address(url: Any) -> str:
    host = url.host.decode("ascii")
    bracketed = f"[{host}]" if ":" in host else host
    return f"{url.scheme.decode('ascii')}://{bracketed}:{url.port}"
