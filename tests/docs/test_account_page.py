"""The page docs/account.md says how PostgreSQL is set up; what it shows makes an account."""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from pages import ROOT, blocks_of
from postgres import Postgres, execute

from langchain_qwen_image import Account
from langchain_qwen_image.defaults import DATABASE_VARIABLE

BLOCKS = list(blocks_of((ROOT / "docs" / "account.md").read_text(encoding="utf-8")))
SQL = [line for block in BLOCKS if block.language == "sql" for line in block.text.splitlines()]


@pytest.fixture
def set_up(postgres: Postgres) -> Iterator[Postgres]:
    """Run the page's SQL as the administrator, and take it back."""
    assert [statement.split()[:3] for statement in SQL] == [
        ["CREATE", "ROLE", "qwen_image"],
        ["CREATE", "DATABASE", "qwen_image"],
    ]
    for statement in SQL:
        execute(postgres, statement)
    yield postgres
    execute(postgres, "DROP DATABASE qwen_image WITH (FORCE)")
    execute(postgres, "DROP ROLE qwen_image")


def test_shown_set_up_makes_an_account(set_up: Postgres) -> None:
    """The role and the database of the page, by the address of the page, hold an account."""
    shown = re.search(
        rf'{DATABASE_VARIABLE}="(postgresql://\S+)"', "\n".join(b.text for b in BLOCKS)
    )
    assert shown is not None
    parts = urlsplit(shown[1])
    assert parts.query == "sslmode=require"  # which the tests' server does not offer
    login = f"{parts.username}:{parts.password}"
    account = Account(f"postgresql://{login}@127.0.0.1:{set_up.port}{parts.path}")
    try:
        assert account.prepare().result() == account.id
        assert account.spent_usd == 0
    finally:
        account.close()
