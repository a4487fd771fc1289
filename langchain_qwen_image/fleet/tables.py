"""The tables of the fleet: the queue's own, and the items of each run with what they came to.

They have a schema of their own beside the account's, named after it, so that the queue of another
program in the same database stays as it is.
"""

from typing import Any

from langchain_qwen_image.errors import ConfigurationError

__all__ = ["prepare"]

_VERSION = 1
_LOCK = 0x51574654  # "QWFT"
_DEFAULT = "qwen_image_fleet"
# The last index is for `get_stalled_jobs`, which would read all jobs that wait.
_TABLES = """
CREATE TABLE runs (
    id BIGINT PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    base_url TEXT NOT NULL,
    name TEXT NOT NULL,
    max_usd NUMERIC,
    created_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (base_url, name)
);
CREATE TABLE items (
    id BIGINT PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    run BIGINT NOT NULL REFERENCES runs,
    key TEXT NOT NULL,
    line BIGINT NOT NULL,
    item_id TEXT,
    arguments TEXT NOT NULL,
    replacing TEXT,
    status TEXT,
    reason TEXT,
    path TEXT,
    cost_usd NUMERIC,
    settled_at TIMESTAMPTZ,
    UNIQUE (run, key)
);
CREATE INDEX items_open ON items (run) WHERE status IS NULL;
CREATE INDEX items_elsewhere ON items (run, id) WHERE status IN ('elsewhere', 'unsaved');
CREATE TABLE workers (
    id TEXT PRIMARY KEY,
    base_url TEXT NOT NULL,
    host TEXT NOT NULL,
    pid BIGINT NOT NULL,
    concurrency INTEGER NOT NULL,
    in_flight INTEGER NOT NULL,
    seen_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    paused TEXT,
    paused_at TIMESTAMPTZ
);
CREATE INDEX jobs_doing ON procrastinate_jobs (id) WHERE status = 'doing';
CREATE TABLE fleet (version BIGINT NOT NULL);
"""


async def prepare(connection: Any, schema_of_queue: str) -> str:
    """Make the tables where there are none, and return the name of their schema.

    Args:
        connection: An `AsyncConnection` of psycopg, not in a transaction.
        schema_of_queue: The statements that make procrastinate's own tables.

    Raises:
        ConfigurationError: They cannot be made, or a newer version of this package made them.
    """
    from psycopg import errors

    async with connection.transaction():
        schema = await _schema(connection)
        if await _version(connection, schema):
            return schema
        await connection.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [_LOCK, schema])
        if await _version(connection, schema):
            return schema
        try:
            if not await _one(connection, "SELECT to_regnamespace(quote_ident(%s))", schema):
                await connection.execute(f'CREATE SCHEMA "{schema}"')
            await connection.execute(f'SET LOCAL search_path TO "{schema}"')
            await connection.execute(schema_of_queue)
            await connection.execute(_TABLES)
            await connection.execute("INSERT INTO fleet (version) VALUES (%s)", [_VERSION])
        except errors.InsufficientPrivilege:
            user = connection.info.user
            raise ConfigurationError(
                f"The fleet needs a schema {schema} of its own, and this user may not make it. Let "
                f'an administrator run: CREATE SCHEMA "{schema}" AUTHORIZATION "{user}"'
            ) from None
    return schema


async def _schema(connection: Any) -> str:
    account = await _one(connection, "SELECT current_schema()")
    if account is None:
        raise ConfigurationError("The search_path of the database names no schema that exists.")
    name = _DEFAULT if account == "public" else f"{account}_fleet"
    if '"' in name or len(name.encode()) > 63:  # the longest name that PostgreSQL takes
        raise ConfigurationError(f"The fleet cannot have a schema of the name {name}.")
    return name


async def _version(connection: Any, schema: str) -> int:
    if not await _one(connection, "SELECT to_regclass(quote_ident(%s) || '.fleet')", schema):
        return 0
    version = int(await _one(connection, f'SELECT version FROM "{schema}".fleet'))  # noqa: S608 - our name
    if version > _VERSION:
        raise ConfigurationError(
            f"The tables in the schema {schema} have version {version}, and this package knows "
            f"{_VERSION}. Use a newer version of langchain-qwen-image."
        )
    return version


async def _one(connection: Any, sql: str, *values: object) -> Any:
    row = await (await connection.execute(sql, values or None)).fetchone()
    return None if row is None else row[0]
