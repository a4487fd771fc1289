"""The address at which a browser sees a saved image: checked, and made from the image's key.

A function of the caller's that fails costs an image its address, and never its file.
"""

import inspect
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Protocol, TypeAlias
from urllib.parse import quote, unquote, urlsplit

from pydantic import AfterValidator

from langchain_qwen_image.errors import ConfigurationError
from langchain_qwen_image.storage.image_store import ImageStore
from langchain_qwen_image.storage.paths import file_name, without_paths

PublicUrl: TypeAlias = str | Callable[[str], str]
AddressOf: TypeAlias = Callable[[str], str | None]

_PATH_CHARACTERS = "/%:@!$&'()*+,;=~-._"
"""What a path may have beside letters and digits (RFC 3986, 3.3); `%` begins what is encoded."""
_FORBIDDEN = set('<>"`\\{}|^')
_SHOWN = 80

logger = logging.getLogger("langchain_qwen_image")


class PublicImage(Protocol):
    """The shape of an image that may have an address; `GeneratedImage` has it."""

    id: str
    path: str | None

    def publish(self, address: str | None, told_path: str) -> None:
        """Take the address, and the path that is told in its place outside of this process."""


def checked_public_url(given: Any) -> Any:
    """Return the setting; an address without the `/` at its end, its path percent-encoded.

    Raises:
        ConfigurationError: It is neither an address to which a key can be added, nor a function.
    """
    if given is None:
        return None
    if isinstance(given, str):
        return _checked_base(given)
    if not callable(given):
        raise _refused(f"not {type(given).__name__}")
    if inspect.iscoroutinefunction(given) or inspect.iscoroutinefunction(type(given).__call__):
        raise _refused("and the function must not be async: it is called in a thread")
    if isinstance(given, type):
        raise _refused(f"not the class {given.__name__}")
    return given


def check_save_to(public_url: object, save_to: object) -> None:
    """Refuse an address for images that are saved nowhere.

    Raises:
        ConfigurationError: `public_url` is set, and `save_to` is not.
    """
    if public_url is not None and save_to is None:
        raise ConfigurationError(
            "public_url is the address of saved images, and save_to is not set. Set save_to=… to "
            "the folder or store that is served there, or leave public_url out."
        )


class Addresses:
    """The addresses of the images of a store."""

    def __init__(self, store: ImageStore, public_url: PublicUrl) -> None:
        """Take the store, and the setting, checked."""
        self._store = store
        self._given = public_url

    def of_key(self, key: str) -> str | None:
        """Return the address of the image that has a key; warn and return None if there is none."""
        try:
            if isinstance(self._given, str):
                return f"{self._given}/{quote(key)}"
            address: object = self._given(key)
            problem = f"returned {_problem_of_result(address)}"
            if isinstance(address, str) and _problem(address) is None:
                return address
            if inspect.iscoroutine(address):
                address.close()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # also SystemExit: the image is paid for, and is saved
            problem = f"raised {type(error).__name__}: {error}"
        logger.warning("image %s is saved and has no address: public_url %s", key, problem)
        return None

    def of_path(self, path: str) -> str | None:
        """Return the address of an image by its path; None for one that is saved elsewhere."""
        key = self._store.key_of(path)
        return None if key is None else self.of_key(key)

    def key_at(self, address: str) -> str | None:
        """Return the key of what an address shows, where it tells: a function's need not."""
        if not isinstance(self._given, str):
            return None
        base, wanted = comparable(self._given), comparable(address)
        if base is None or wanted is None or base[:2] != wanted[:2]:
            return None
        folder = f"{base[2]}/"
        return wanted[2].removeprefix(folder) if wanted[2].startswith(folder) else None

    def note_on(self, image: PublicImage, address_of: AddressOf | None = None) -> None:
        """Say on a saved image at which address it is seen, by default by the setting."""
        if image.path is not None:
            key = self._store.key_of(image.path)
            address = None if key is None else (address_of or self.of_key)(key)
            image.publish(address, key or file_name(image.path))

    def without_paths(self, text: str) -> str:
        """Return a text without paths of this machine, for the artifact and for a model."""
        return without_paths(text, self._store.folder or self._store.address)


def comparable(address: str) -> tuple[str, str, str] | None:
    """Return what two addresses of one image have in common: scheme, host and path, decoded."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return None
    is_address = parts.scheme in {"http", "https"} and parts.netloc
    return (parts.scheme, parts.netloc.lower(), unquote(parts.path)) if is_address else None


def _checked_base(given: str) -> str:
    address = given.strip().rstrip("/")
    problem = _problem(address)
    if problem is None and ("?" in address or "#" in address):
        problem = "it has a query or a fragment, and the image's name comes at its end"
    if problem is not None:
        is_secret = "@" in given or "?" in given
        raise _refused(problem if is_secret else f"{problem}; got {given[:_SHOWN]!r}")
    scheme, _, rest = address.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host}{slash}{quote(path, safe=_PATH_CHARACTERS)}"


def _problem(address: str) -> str | None:
    """Say why a text is no address that a browser opens and Markdown takes; None if it is one."""
    is_clean = address.isprintable() and not _FORBIDDEN & set(address)
    if not is_clean or any(character.isspace() for character in address):
        return "it has a character that an address cannot have"
    try:
        parts = urlsplit(address)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return "it cannot be read as an address"
    if parts.scheme not in {"http", "https"}:
        return "it does not begin with http:// or https://"
    if not has_host:
        return "it names no host"
    return "it has a user or a password in it" if "@" in parts.netloc else None


def _problem_of_result(address: object) -> str:
    if not isinstance(address, str):
        return f"{type(address).__name__} and no text"
    return f"no address: {_problem(address)}"


def _refused(problem: str) -> ConfigurationError:
    return ConfigurationError(
        'public_url must be an address such as "https://cdn.example/images", or a function that '
        f"returns the address of an image by its key: {problem}."
    )


if TYPE_CHECKING:
    PublicUrlSetting = PublicUrl | None
else:
    PublicUrlSetting = Annotated[Any, AfterValidator(checked_public_url)]
