"""Addresses of databases: which text is one, and what of it may be shown.

The password may be in the middle (`//user:password@host`) or at the end (`?password=…`), and people
forget to write its `@`, `/` and `?` as `%40`, `%2F` and `%3F`. So nothing is shown that has not the
form of a host, a port or a database's name.
"""

import re
from typing import NamedTuple
from urllib.parse import unquote

from langchain_qwen_image.errors import ConfigurationError

__all__ = ["hide_password", "is_database_url", "show_url", "without_password"]

_SCHEMES = ("postgresql", "postgres")
_LOOKS_LIKE_ONE = re.compile(r"\s*(postgres(?:ql)?(?:\+\w+)?):/", re.IGNORECASE)
_CREDENTIALS = re.compile(r"([^@/]*)@")  # as libpq finds them
_HOST = re.compile(r"(?:[\w.-]|%[0-9a-f]{2}|\[[0-9a-f:.]+\])*(?::\d*)?", re.IGNORECASE | re.ASCII)
_NAME = re.compile(r"(?:[\w.$-]|%[0-9a-f]{2})*", re.IGNORECASE)
_VALUE = re.compile(r"(?:[\w./,:-]|%[0-9a-f]{2})*", re.IGNORECASE | re.ASCII)
_SHOWN = ("host", "hostaddr", "port", "dbname", "service")
_NOTHING = "postgresql://…"
_SECRET = ("password", "sslpassword", "oauth_client_secret")


class _Url(NamedTuple):
    """An address, cut where libpq cuts it."""

    user: str
    password: str | None
    hosts: str
    database: str
    query: tuple[tuple[str, str, str], ...]


def is_database_url(location: str) -> bool:
    """Say whether a text is the address of a database, and no path.

    Raises:
        ConfigurationError: It is one in a form that libpq does not read; its message shows no
            password.
    """
    found = _LOOKS_LIKE_ONE.match(location)
    if found is None:
        return False
    if found[1] not in _SCHEMES or not location.startswith(f"{found[1]}://"):
        raise ConfigurationError(
            "The address of a PostgreSQL database must begin with postgresql://, not with "
            f"{found[0].strip()}…"
        )
    if show_url(location) is _NOTHING:
        raise ConfigurationError(
            "The address of the database cannot be read. It is expected as "
            "postgresql://user:password@host:port/database; write special characters of user and "
            "password in percent-encoding: %40 for @, %2F for /, %3A for :, %3F for ?."
        )
    return True


def show_url(url: str) -> str:
    """Return what of an address may be shown to anyone: host, port and database."""
    cut = _cut(url)
    is_plain = _NAME.fullmatch(cut.database) and all(map(_HOST.fullmatch, cut.hosts.split(",")))
    if not is_plain or not all(equals for _, equals, _ in cut.query):
        return _NOTHING
    query = [
        f"{name}={unquote(value)}"
        for name, _, value in cut.query
        if name in _SHOWN and _VALUE.fullmatch(value)
    ]
    shown = f"postgresql://{cut.hosts}/{cut.database}"
    return f"{shown}?{'&'.join(query)}" if query else shown


def without_password(url: str) -> str:
    """Return an address that finds the same database, once a password is had from elsewhere."""
    cut = _cut(url)
    user = f"{cut.user}@" if cut.user else ""
    query = "&".join(f"{name}={value}" for name, _, value in cut.query if name not in _SECRET)
    return f"postgresql://{user}{cut.hosts}/{cut.database}{'?' if query else ''}{query}"


def hide_password(text: str, url: str) -> str:
    """Return a message without the secrets of an address."""
    cut = _cut(url)
    secrets = [cut.password or "", *(value for name, _, value in cut.query if name in _SECRET)]
    for secret in {*secrets, *map(unquote, secrets)} - {""}:
        text = text.replace(secret, "…")
    return text


def _cut(url: str) -> _Url:
    rest = url.partition("://")[2]
    found = _CREDENTIALS.match(rest)
    user, colon, password = found[1].partition(":") if found else ("", "", "")
    place, _, query = rest[found.end() if found else 0 :].partition("?")
    hosts, _, database = place.partition("/")
    pairs = tuple(pair.partition("=") for pair in query.split("&") if pair)
    return _Url(user, password if colon else None, hosts, database, pairs)
