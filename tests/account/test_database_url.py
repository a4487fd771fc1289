"""Addresses of databases: what is one, and that none shows its password."""

import re

import pytest

from langchain_qwen_image import Account
from langchain_qwen_image.account.database_url import (
    hide_password,
    is_database_url,
    show_url,
    without_password,
)
from langchain_qwen_image.errors import ConfigurationError

_SHOWN = {
    "postgresql://u:s3cret@db.example:5432/books": "postgresql://db.example:5432/books",
    "postgres://u:s3cret@db.example/books": "postgresql://db.example/books",
    "postgresql://u@db.example/books?password=s3cret&sslmode=require": (
        "postgresql://db.example/books"
    ),
    "postgresql:///books?host=/run/postgresql&user=u&password=s3cret": (
        "postgresql:///books?host=/run/postgresql"
    ),
    "postgresql://u:s3cret@one:5432,two:5433/books": "postgresql://one:5432,two:5433/books",
    "postgresql://u:s3cret@[::1]:5432/books": "postgresql://[::1]:5432/books",
    "postgresql://u:s3cret?s3cret@db.example/books": "postgresql://db.example/books",
    "postgresql://u:%73%33cret@db.example/b%C3%BCcher": "postgresql://db.example/b%C3%BCcher",
}
_UNREADABLE = [
    "postgresql://u:s3cret@s3cret@db.example/books",
    "postgresql://u:s3cret/s3cret@db.example/books",
    "postgresql://u:12/s3cret@db.example/books",
    "postgresql://s3cret:12?s3cret/4@db.example/books",
]
_OTHER_FORMS = [
    "postgresql+psycopg://u:s3cret@db.example/books",
    "postgresql:/u:s3cret@db.example/books",
    " postgresql://u:s3cret@db.example/books",
    "PostgreSQL://u:s3cret@db.example/books",
]


@pytest.mark.parametrize(("url", "shown"), _SHOWN.items(), ids=list(_SHOWN))
def test_host_and_database_are_shown_and_no_password(url: str, shown: str):
    """Host, port and database are shown, and nothing else."""
    assert is_database_url(url)
    assert show_url(url) == shown
    assert "cret" not in without_password(url)
    assert show_url(without_password(url)) == shown


@pytest.mark.parametrize("url", [*_UNREADABLE, *_OTHER_FORMS])
def test_an_address_that_libpq_would_misread_is_refused_unshown(url: str):
    """A message about an address that cannot be read says how to write it, not what is in it."""
    with pytest.raises(ConfigurationError) as caught:
        is_database_url(url)
    with pytest.raises(ConfigurationError, match=re.escape(str(caught.value))):
        Account(url)
    assert "postgresql://" in str(caught.value)
    assert not any(piece in str(caught.value) for piece in ("s3cret", "12", "books"))
    assert "cret" not in show_url(url)


@pytest.mark.parametrize("path", ["books.db", "/srv/postgresql/books.db", "C:\\postgres", ""])
def test_a_path_is_no_address(path: str):
    """Only what begins as an address of PostgreSQL is one."""
    assert not is_database_url(path)


def test_what_else_is_in_an_address_stays():
    """Without its password, an address finds the same database by the same user."""
    url = "postgresql://u:s3cret@db/books?sslmode=require&password=x&options=-csearch_path%3Da"
    assert without_password(url) == (
        "postgresql://u@db/books?sslmode=require&options=-csearch_path%3Da"
    )


@pytest.mark.parametrize("password", ["s3cret", "s%33cret", "p%40ss"])
def test_a_foreign_message_loses_the_password(password: str):
    """The password is cut from a message as it is written and as it is meant."""
    text = "no s3cret, s%33cret, p@ss or p%40ss here"
    hidden = hide_password(text, f"postgresql://u:{password}@db/books")
    assert password not in hidden
    assert password.replace("%33", "3").replace("%40", "@") not in hidden
