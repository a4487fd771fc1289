"""What the environment has wrong about certificates and proxies."""

import os

from langchain_qwen_image.transport.proxies import proxy_problem
from langchain_qwen_image.transport.tls import tls_context

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
    "REQUEST_METHOD",
)
"""The variables that it depends on."""


def network_problem(base_url: str) -> str | None:
    """Say why the gateway cannot be reached from here, or None if it may be.

    On this machine a gateway by plain http needs neither, and its images may be here as well.
    """
    try:
        if base_url.startswith("https:"):
            tls_context()  # takes tens of milliseconds, and is what the POST will use
    except ValueError as problem:
        return str(problem)
    return proxy_problem(os.environ, base_url)
