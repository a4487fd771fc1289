"""The key, the gateway's address and the sandbox, read from the environment and checked."""

import asyncio
import ipaddress
import logging
import os
import re
import stat
from collections.abc import Collection
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from langchain_qwen_image.defaults import (
    API_KEY_FILE,
    API_KEY_VARIABLE,
    BASE_URL,
    BASE_URL_VARIABLE,
    SANDBOX_VARIABLE,
)
from langchain_qwen_image.errors import ConfigurationError

_DAY = 86_400.0
_ADDED = re.compile(r"[@?#\\\s]")
"""What adds a user, a query or a fragment, or makes two readers see two hosts."""


_SWITCH = {"1": True, "true": True, "0": False, "false": False, "": False}
_MAX_KEY_BYTES = 4096

logger = logging.getLogger("langchain_qwen_image")
_warned_in: set[int] = set()


def on_event_loop() -> bool:
    """Say whether an event loop runs in this thread, so that nothing may block it."""
    # In `__all__` of asyncio.events: `get_running_loop` raises where there is no loop.
    return asyncio._get_running_loop() is not None


class ApiKey:
    """The key that calls are made with: the given one, else the environment's at each call."""

    def __init__(self, given: SecretStr | None) -> None:
        """Take the one that was given in code, if any."""
        self._given = given
        self._of_file: SecretStr | None = None

    @property
    def may_be_in_file(self) -> bool:
        """Whether the key file counts, which takes time to read."""
        return not self._given and not _key_in_variable()

    def read_file(self) -> None:
        """Read the key file, so that `value` need not."""
        self._of_file = api_key_from_environment()

    @property
    def value(self) -> str:
        """The key as it goes into the header; raises what `usable_key` does."""
        return usable_key(self._given or _key_in_variable() or self._of_file)


def api_key_at_hand() -> SecretStr | None:
    """Return what `api_key_from_environment` does, but on an event loop read no file."""
    return _key_in_variable() if on_event_loop() else api_key_from_environment()


def api_key_from_environment() -> SecretStr | None:
    """Return the key that the environment or the key file holds, or None.

    A key file that cannot be used counts as none here; `usable_key` says what is wrong with it.
    """
    try:
        return _found_key()
    except ConfigurationError:
        return None


def api_key_source() -> str | None:
    """Say where a key is found that is not given in code: a variable, a file, or nowhere.

    Raises:
        ConfigurationError: The key file cannot be used.
    """
    if _key_in_variable():
        return API_KEY_VARIABLE
    return API_KEY_FILE if _found_key() is not None else None


def sandbox_from_environment() -> bool:
    """Return whether the environment turns the sandbox on.

    Raises:
        ConfigurationError: The variable is neither 1, true, 0 nor false.
    """
    value = os.environ.get(SANDBOX_VARIABLE, "").strip().lower()
    if value not in _SWITCH:
        raise ConfigurationError(
            f"{SANDBOX_VARIABLE} must be 1, true, 0 or false; got {value[:40]!r}."
        )
    return _SWITCH[value]


def check_environment_sandbox(given: Collection[str]) -> None:
    """Refuse or announce a sandbox that the environment alone has turned on.

    Args:
        given: Names of the settings that were passed in code.

    Raises:
        ConfigurationError: A key, an address or an HTTP client was passed, which the sandbox would
            silently leave unused.
    """
    unused = sorted({"api_key", "base_url", "http_client", "http_async_client"} & set(given))
    if unused:
        raise ConfigurationError(
            f"{SANDBOX_VARIABLE} turns the sandbox on, and {unused[0]}=… was passed in code, which "
            f"the sandbox does not use. Unset {SANDBOX_VARIABLE}, or pass sandbox=False to pay for "
            "real images."
        )
    if os.getpid() not in _warned_in:
        _warned_in.add(os.getpid())
        logger.warning(
            "%s is set: images are placeholders from the sandbox, and nothing is paid.",
            SANDBOX_VARIABLE,
        )


def base_url_from_environment() -> str:
    """Return the address that the environment holds, or the gateway's own."""
    return os.environ.get(BASE_URL_VARIABLE, "").strip() or BASE_URL


def usable_key(api_key: SecretStr | None) -> str:
    """Return the key as it goes into the header: the given one, else the environment's.

    Raises:
        ConfigurationError: There is none, or it cannot stand in an HTTP header.
    """
    secret = api_key or _found_key() or SecretStr("")
    if not _bare(secret):
        raise ConfigurationError(
            f"No API key was found; nothing was sent. Set the environment variable "
            f"{API_KEY_VARIABLE}, save the key in {API_KEY_FILE}, or pass api_key=…. To try "
            f"without a key, pass sandbox=True or set {SANDBOX_VARIABLE}=1."
        )
    if not _fits_a_header(secret):
        raise ConfigurationError(
            "The API key has characters that no HTTP header can carry; nothing was sent. "
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


def _found_key() -> SecretStr | None:
    return _key_in_variable() or _key_in_file()


def _key_in_variable() -> SecretStr | None:
    value = os.environ.get(API_KEY_VARIABLE, "").strip()
    return SecretStr(value) if value else None


def _key_in_file() -> SecretStr | None:
    """Read the key file of the owner's own tools, if it is there.

    Raises:
        ConfigurationError: Other users can read it, or it cannot be read.
    """
    problem = None
    try:
        with Path(API_KEY_FILE).expanduser().open("rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077 and os.name == "posix":
                problem = f"other users can access it; run: chmod 600 {API_KEY_FILE}"
            value = file.read(_MAX_KEY_BYTES).decode("utf-8", "replace").strip()
    except (FileNotFoundError, NotADirectoryError, RuntimeError):  # no file, or no home
        return None
    except OSError as error:
        problem, value = f"it cannot be read ({type(error).__name__})", ""
    if problem is not None:
        raise ConfigurationError(
            f"The key file {API_KEY_FILE} is not used: {problem}. Or set {API_KEY_VARIABLE}. "
            "Nothing was sent."
        )
    return SecretStr(value) if value else None


def _bare(secret: SecretStr) -> str:
    return secret.get_secret_value().strip()


def _fits_a_header(secret: SecretStr) -> bool:
    """Say so in a frame of its own: the one that raises must not hold the bare key."""
    key = _bare(secret)
    return key.isascii() and key.isprintable() and " " not in key
