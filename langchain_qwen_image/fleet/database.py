"""The database of a fleet, reached through procrastinate: its jobs, and our tables beside them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from langchain_qwen_image.account.account import Account
from langchain_qwen_image.account.database_url import hide_password
from langchain_qwen_image.account.postgres import PostgresStore
from langchain_qwen_image.errors import AccountError, ConfigurationError

if TYPE_CHECKING:
    from procrastinate import App

__all__ = ["TASK", "Database", "Row", "queue_of"]

TASK = "qwen_image.settle"
"""Name of the one task of the queue; its argument is an item's number."""

Row = dict[str, Any]
_CONNECTIONS = 4
_WAIT_SECONDS = 5.0


def queue_of(base_url: str) -> str:
    """Return the name of a gateway's queue: the sandbox's workers take no job that is paid for."""
    return f"qwen-image-{sha256(base_url.encode()).hexdigest()[:16]}"


class Database:
    """The database that an account is in, for the tasks of one event loop.

    Attributes:
        account: The account.
        shown: The address as anyone may see it.
    """

    def __init__(self, account: Account) -> None:
        """Take the account; nothing is opened yet.

        Raises:
            ConfigurationError: It is not in PostgreSQL, or the extra is not installed.
        """
        store = account.store
        if not isinstance(store, PostgresStore):
            raise ConfigurationError(
                "A fleet needs its account in PostgreSQL, so that every machine can reach it. Set "
                "QWEN_IMAGE_DATABASE, or --database, to postgresql://user:password@host/database."
            )
        if find_spec("procrastinate") is None:
            raise ConfigurationError(
                "A fleet needs procrastinate, which is not installed. Install the extra: "
                "pip install 'langchain-qwen-image[fleet]'."
            )
        self.account = account
        self.shown = account.location
        self._url = store.url
        self._app: App | None = None

    def __repr__(self) -> str:
        return f"Database({self.shown!r})"

    @property
    def app(self) -> "App":
        """The queue; open."""
        if self._app is None:
            raise AccountError("The database of the fleet is not open.")
        return self._app

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["Database"]:
        """Open it for the block, and make its tables where there are none.

        Raises:
            AccountError: It cannot be reached.
            ConfigurationError: The tables cannot be made or used.
        """
        from procrastinate import App, PsycopgConnector

        async with self.readable_errors():
            schema = await self._prepared()

            async def configure(connection: Any) -> None:
                await connection.execute(f'SET search_path TO "{schema}"')
                await connection.commit()

            connector = PsycopgConnector(
                conninfo=self._url,
                kwargs=self._patience(),
                configure=configure,
                min_size=1,
                max_size=_CONNECTIONS,
                timeout=_WAIT_SECONDS,
            )
            app = App(connector=connector)
            await app.open_async()
        self._app = app
        try:
            yield self
        finally:
            self._app = None
            await app.close_async()

    async def all(self, sql: Any, **values: Any) -> list[Row]:
        """Run one statement in a transaction, and return its rows."""
        rows: list[Row] = await self.app.connector.execute_query_all_async(sql, **values)
        return rows

    async def run(self, sql: Any, **values: Any) -> None:
        """Run one statement in a transaction."""
        await self.app.connector.execute_query_async(sql, **values)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        """Yield a connection of psycopg; what is done on it is done as a whole."""
        pool: Any = self.app.connector
        async with pool.pool.connection() as connection:
            yield connection

    @asynccontextmanager
    async def readable_errors(self) -> AsyncIterator[None]:
        """Turn what the database's libraries raise into our error.

        Raises:
            AccountError: The database is not to be had.
        """
        import psycopg
        from procrastinate.exceptions import ConnectorException

        try:
            yield
        except (psycopg.Error, ConnectorException) as error:
            cause = error.__cause__ if isinstance(error, ConnectorException) else error
            # The primary message alone: the details quote rows, and with them prompts.
            primary = cause.diag.message_primary if isinstance(cause, psycopg.Error) else None
            text = primary or str(cause or error)
            said = hide_password(" ".join(text.split()).rstrip("."), self._url)
            raise AccountError(
                f"The database {self.shown} cannot be used: {said}. Nothing is lost; run the same "
                "command again when it can be reached."
            ) from None

    async def _prepared(self) -> str:
        import psycopg
        from procrastinate.schema import SchemaManager

        from langchain_qwen_image.fleet.tables import prepare

        connection = await psycopg.AsyncConnection.connect(
            self._url, **self._patience(), autocommit=True
        )
        async with connection:
            return await prepare(connection, SchemaManager.get_schema())

    def _patience(self) -> dict[str, Any]:
        from psycopg.conninfo import conninfo_to_dict

        from langchain_qwen_image.account.postgres_connection import PATIENCE

        given = conninfo_to_dict(self._url)
        return {name: value for name, value in PATIENCE.items() if name not in given}
