"""What the environment has wrong about certificates and proxies."""

import os
import ssl
from urllib.request import getproxies, proxy_bypass

from langchain_qwen_image.transport.deadline import tls_context

__all__ = ["ENVIRONMENT", "network_problem", "proxy_of", "tls_context"]

ENVIRONMENT = (
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "http_proxy",
    "HTTP_PROXY",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
)
"""The variables that it depends on."""


def network_problem(base_url: str) -> str | None:
    """Say why neither the gateway nor an image can be reached from here, or None if they may be."""
    del base_url
    file = os.environ.get("SSL_CERT_FILE")
    try:
        if file:
            ssl.create_default_context(cafile=file)
    except (OSError, ValueError) as error:
        return f"SSL_CERT_FILE names {file!r}, which cannot be used ({type(error).__name__})."
    return None


def proxy_of(url: str) -> str | None:
    """Return the proxy through which an address is reached, or None."""
    scheme, _, rest = url.partition("://")
    proxies = getproxies()
    found = proxies.get(scheme) or proxies.get("all")
    return None if proxy_bypass(rest.partition("/")[0]) else found
