"""The key and the gateway's address, read from the environment and checked."""

import ipaddress
import os
import re
from urllib.parse import urlsplit

from pydantic import SecretStr

from langchain_qwen_image.defaults import API_KEY_VARIABLE, BASE_URL, BASE_URL_VARIABLE
from langchain_qwen_image.errors import ConfigurationError

_DAY = 86_400.0
_ADDED = re.compile(r"[@?#\\\s]")
"""What adds a user, a query or a fragment, or makes two readers see two hosts."""


def api_key_from_environment() -> SecretStr | None:
    """Return the key that the environment holds, or None."""
    value = os.environ.get(API_KEY_VARIABLE, "").strip()
    return SecretStr(value) if value else None


def base_url_from_environment() -> str:
    """Return the address that the environment holds, or the gateway's own."""
    return os.environ.get(BASE_URL_VARIABLE, "").strip() or BASE_URL


def usable_key(api_key: SecretStr | None) -> str:
    """Return the key as it goes into the header: the given one, else the environment's.

    Raises:
        ConfigurationError: There is none, or it cannot stand in an HTTP header.
    """
    secret = api_key or api_key_from_environment() or SecretStr("")
    if not _bare(secret):
        raise ConfigurationError(
            f"A subscription key is needed and none was found; nothing was sent. Set the "
            f"environment variable {API_KEY_VARIABLE}, pass api_key=…, or try without a key: "
            "sandbox=True."
        )
    if not _fits_a_header(secret):
        raise ConfigurationError(
            "The subscription key has characters that no HTTP header can carry; nothing was sent. "
            f"Check {API_KEY_VARIABLE} or api_key=… for spaces, line breaks and quotation marks."
        )
    return _bare(secret)


def checked_base_url(base_url: str) -> str:
    """Return the address without a trailing slash.

    Raises:
        ConfigurationError: It is not an address that the key may be sent to: https, or http on
            this machine.
    """
    url = base_url.strip().rstrip("/")
    try:
        parts = urlsplit(url)
        secure = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(url))
        usable = secure and parts.hostname and parts.port != 0 and not _ADDED.search(url)
    except ValueError:
        usable = False
    if not usable:
        raise ConfigurationError(
            "base_url must be an https:// address without user, query or fragment (http:// only "
            f"for 127.0.0.1, ::1 and localhost). Check {BASE_URL_VARIABLE} or base_url=…."
        )
    return url


def check_numbers(timeout: float, max_retries: int, price_usd: float) -> None:
    """Refuse settings that would fail, or mean something else, when a call is made.

    Raises:
        ConfigurationError: `timeout` is not above 0 and at most a day, or another is negative.
    """
    if not 0 < timeout <= _DAY:
        raise ConfigurationError(
            f"timeout must be above 0 and at most {_DAY:g} s, a day; got {timeout!r}."
        )
    if max_retries < 0:
        raise ConfigurationError(f"max_retries must be 0 or more; got {max_retries!r}.")
    if not 0 <= price_usd < float("inf"):
        raise ConfigurationError(f"price_usd must be 0 or more; got {price_usd!r}.")


def is_loopback(url: str) -> bool:
    """Say whether the address names this machine itself."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bare(secret: SecretStr) -> str:
    return secret.get_secret_value().strip()


def _fits_a_header(secret: SecretStr) -> bool:
    """Say so in a frame of its own: the one that raises must not hold the bare key."""
    key = _bare(secret)
    return key.isascii() and key.isprintable() and " " not in key
