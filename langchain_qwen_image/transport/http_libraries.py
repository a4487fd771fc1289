"""httpx, and httpx2 where the caller's client is one of its clients.

httpx2 is httpx's successor, under the same names (github.com/pydantic/httpx2); openai, anthropic,
langsmith and mcp hold its clients. None of its classes is one of httpx's, and none of its errors.
It is not required, and never imported here: a client of it exists only where it was imported.
"""

import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

import httpx
from pydantic import AfterValidator

from langchain_qwen_image.errors import ConfigurationError

_NAMES = ("httpx", "httpx2")
_CORES = ("httpcore", "httpcore2")


def classes(*names: str) -> tuple[type[Any], ...]:
    """Return the classes of these names, httpx's and, where it is loaded, httpx2's.

    They are looked up when they are needed: httpx2 may be loaded later than this module.
    """
    return tuple(_classes(_NAMES, names))


def core_classes(*names: str) -> tuple[type[Any], ...]:
    """Return the classes of these names of the libraries below, httpcore and httpcore2."""
    return tuple(_classes(_CORES, names))


def library_of(client: object) -> Any:
    """Return the library, httpx or httpx2, that a client of the caller's comes from."""
    for library in _loaded(_NAMES):
        if isinstance(client, tuple(_classes((library.__name__,), ("Client", "AsyncClient")))):
            return library
    return httpx


def check_transport(client: Any, url: Any) -> None:
    """Refuse a client with a transport of the other library: it fails, perhaps after the POST.

    Raises:
        ConfigurationError: The client's transport for `url`, of its own library, is the other's.
    """
    own = library_of(client)
    transport = client._transport_for_url(url)
    bases = classes("BaseTransport", "AsyncBaseTransport")
    if isinstance(transport, bases) and not isinstance(
        transport, (own.BaseTransport, own.AsyncBaseTransport)
    ):
        raise ConfigurationError(
            f"The HTTP client that was passed is {own.__name__}'s, and its transport "
            f"({type(transport).__name__}) is not. Nothing was sent. Make both with one library."
        )


def _checked(setting: str, kind: str) -> Callable[[Any], Any]:
    """Return what refuses all but clients of one kind, in one sentence."""

    def check(client: Any) -> Any:
        if client is None or isinstance(client, classes(kind)):
            return client
        raise ConfigurationError(
            f"{setting} takes an httpx.{kind} or an httpx2.{kind}, or None; "
            f"got {_name_of(client)}. Nothing was sent."
        )

    return check


checked_client = _checked("http_client", "Client")
checked_async_client = _checked("http_async_client", "AsyncClient")

if TYPE_CHECKING:
    import httpx2

    HttpClient = httpx.Client | httpx2.Client
    AsyncHttpClient = httpx.AsyncClient | httpx2.AsyncClient
    HttpResponse = httpx.Response | httpx2.Response
else:
    HttpClient = Annotated[Any, AfterValidator(checked_client)]
    AsyncHttpClient = Annotated[Any, AfterValidator(checked_async_client)]
    HttpResponse = httpx.Response


def _name_of(value: object) -> str:
    cls = value if isinstance(value, type) else type(value)
    package = cls.__module__.partition(".")[0]
    name = cls.__qualname__ if package == "builtins" else f"{package}.{cls.__qualname__}"
    return f"the class {name}" if value is cls else name


def _loaded(names: tuple[str, ...]) -> Iterator[ModuleType]:
    for name in names:
        module = sys.modules.get(name)
        if module is not None:
            yield module


def _classes(libraries: tuple[str, ...], names: tuple[str, ...]) -> Iterator[type[Any]]:
    """Yield what is there: another thread may be importing a library at this moment."""
    for library in _loaded(libraries):
        for name in names:
            found = getattr(library, name, None)
            if found is not None:
                yield found
