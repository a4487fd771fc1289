"""The tables of an account in PostgreSQL: made once, by one of those who come, and versioned."""

from langchain_qwen_image.account.postgres_words import translated_tables
from langchain_qwen_image.account.store import Transaction
from langchain_qwen_image.account.tables import SCHEMA_VERSION, TABLES, fill, statements_of
from langchain_qwen_image.errors import ConfigurationError

__all__ = ["has_tables", "prepare_tables"]

_LOCK = 0x5157494D  # "QWIM", as in the header of a file
# The first schema of the search path alone: an account further back is not this one.
_FIND = """
SELECT current_schema() AS schema, to_regclass(quote_ident(current_schema()) || '.qwen_image')
    IS NOT NULL AS is_ours, (SELECT count(*) FROM pg_catalog.pg_class AS tables
    JOIN pg_catalog.pg_namespace AS schemas ON schemas.oid = relnamespace
    WHERE nspname = current_schema() AND relname = 'calls') > 0 AS is_taken
"""


def has_tables(tx: Transaction) -> bool:
    """Say whether an account is there.

    Raises:
        ConfigurationError: It is of a newer version of this package.
    """
    return _version(tx) > 0


def prepare_tables(tx: Transaction) -> None:
    """Make the tables where there are none, or upgrade them; who comes meanwhile waits.

    Raises:
        ConfigurationError: Other tables have their names, or a newer version made them.
    """
    if _version(tx) == SCHEMA_VERSION:
        return
    tx.one(f"SELECT pg_advisory_xact_lock({_LOCK}, hashtext(current_schema()))")
    version = _version(tx)
    if version == SCHEMA_VERSION:
        return
    for statement in statements_of("deliveries") if version else TABLES.split(";"):
        if statement.strip():
            tx.execute(translated_tables(statement))
    if version:  # 3 is the first that could be in PostgreSQL
        tx.execute("UPDATE qwen_image SET version = :version", {"version": SCHEMA_VERSION})
        return
    fill(tx)
    tx.execute("CREATE TABLE qwen_image (version BIGINT NOT NULL)")
    tx.execute("INSERT INTO qwen_image (version) VALUES (:version)", {"version": SCHEMA_VERSION})


def _version(tx: Transaction) -> int:
    found = tx.one(_FIND)
    if found is None or found["schema"] is None:
        raise ConfigurationError("The search_path of the database names no schema that exists.")
    if found["is_ours"]:
        row = tx.one("SELECT version FROM qwen_image")
        version = 0 if row is None else int(row["version"])
        if version > SCHEMA_VERSION:
            raise ConfigurationError(
                f"The tables in the schema {found['schema']} have version {version}, and this "
                f"package knows {SCHEMA_VERSION}. Use a newer version of langchain-qwen-image."
            )
        return version
    if found["is_taken"]:
        raise ConfigurationError(
            f"The schema {found['schema']} has a table 'calls' that is not an account's. Give the "
            "account a schema of its own: CREATE SCHEMA qwen_image, and "
            "?options=-csearch_path%3Dqwen_image at the end of its address."
        )
    return 0
