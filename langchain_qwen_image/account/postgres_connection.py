"""One connection to PostgreSQL: how long it is waited for, how a transaction begins and ends."""

import time
from collections.abc import Callable, Generator, Mapping
from typing import Any, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict

from langchain_qwen_image.account.postgres_transaction import PostgresTransaction, to_rows
from langchain_qwen_image.errors import ConfigurationError

__all__ = ["PATIENCE", "PostgresConnection", "UnknownCommitError"]

T = TypeVar("T")
Row = dict[str, Any]
_OLDEST_SERVER = 130000  # 13 is the first that names transactions by `xid8`
_STATEMENT_MS = 20_000
_LOCK_MS = 10_000
_ANSWER_SECONDS = 25.0  # more than a statement may take: only a server that is gone is so late
# Where the URL does not say otherwise: a connection that is cut without a word is noticed.
PATIENCE: Mapping[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,  # milliseconds
    "application_name": "langchain-qwen-image",
}
_LIMITS = f"""
set_config('statement_timeout', '{_STATEMENT_MS}', true),
set_config('lock_timeout', '{_LOCK_MS}', true),
set_config('idle_in_transaction_session_timeout', '{_STATEMENT_MS}', true)
"""
# All of a transaction's settings end with it, so that a pool between us and the server may give the
# session to somebody else. What is committed is on the disk, whatever the server's default is.
_BEGIN = f"""
BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
SELECT {_LIMITS}, pg_current_xact_id()::text AS name,
    CASE WHEN current_setting('synchronous_commit') = 'off'
        THEN set_config('synchronous_commit', 'on', true) END
"""
_BEGIN_TO_READ = f"""
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SELECT {_LIMITS}
"""


class UnknownCommitError(Exception):
    """The connection was lost while a transaction was committed.

    Attributes:
        name: PostgreSQL's name of the transaction, to ask for its fate.
        value: What its job returned.
    """

    def __init__(self, name: str, value: object) -> None:
        """Note which transaction it was."""
        super().__init__(name)
        self.name = name
        self.value = value


class PostgresConnection:
    """One session at the server, used by one thread at a time."""

    def __init__(self, url: str) -> None:
        """Connect.

        Raises:
            ConfigurationError: The server is too old, or its texts are not Unicode.
            psycopg.Error: It cannot be reached, or does not let us in.
        """
        given = {**PATIENCE, **conninfo_to_dict(url), "client_encoding": "utf8"}
        self._connection = _Patient.connect(
            **given, autocommit=True, cursor_factory=psycopg.ClientCursor, row_factory=to_rows
        )
        try:
            _check_server(self._connection)
        except BaseException:
            self._connection.close()
            raise

    @property
    def is_lost(self) -> bool:
        """Whether nothing can be done with it any more."""
        return self._connection.closed

    @property
    def descriptor(self) -> int:
        """The descriptor of its socket."""
        return self._connection.fileno()

    def close(self) -> None:
        """End the session."""
        self._connection.close()

    def write(self, job: Callable[[PostgresTransaction], T], kind: type[PostgresTransaction]) -> T:
        """Run a job in a transaction, and commit it.

        Raises:
            UnknownCommitError: Nobody knows yet whether it is committed.
            psycopg.Error: It is not.
        """
        name = self._begin(_BEGIN)["name"]
        try:
            value = job(kind(self._connection))
        except BaseException:
            self._roll_back()
            raise
        try:
            said = self._connection.execute("COMMIT").statusmessage
        except (psycopg.OperationalError, psycopg.InterfaceError):
            if not self.is_lost:
                self._roll_back()
                raise
        else:
            if said == "COMMIT":
                return value
            raise psycopg.InternalError("a statement failed, and the job went on")
        raise UnknownCommitError(name, value)

    def read(self, job: Callable[[PostgresTransaction], T], kind: type[PostgresTransaction]) -> T:
        """Run a job that only reads, on one snapshot."""
        self._begin(_BEGIN_TO_READ)
        try:
            return job(kind(self._connection))
        finally:
            self._roll_back()

    def is_committed(self, name: str) -> bool | None:
        """Say whether a transaction was committed; None if it is still under way."""
        sql = "SELECT pg_xact_status(%s::xid8) AS fate"
        row = self._connection.execute(sql, [name]).fetchone() or {}
        fate = row.get("fate")
        return None if fate == "in progress" else fate == "committed"

    def _begin(self, sql: str) -> Row:
        cursor = self._connection.execute(sql)
        while cursor.nextset():
            pass
        return cursor.fetchone() or {}

    def _roll_back(self) -> None:
        if self.is_lost:
            return
        try:
            self._connection.execute("ROLLBACK")
        except psycopg.Error:  # the first error is the one to tell
            self._connection.close()


class _Patient(psycopg.Connection[Row]):
    """Gives up a server that does not answer at all: it may be stopped, or its network cut."""

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        """Wait for an answer, but not for ever."""
        return super().wait(_until(time.monotonic() + _ANSWER_SECONDS, gen, self), *args, **kwargs)


def _until(
    end: float, waiting: Generator[Any, Any, T], connection: psycopg.Connection[Row]
) -> Generator[Any, Any, T]:
    try:
        wanted = next(waiting)
        while True:
            ready = yield wanted
            if not ready and time.monotonic() > end:  # 0: nothing came for a while
                connection.pgconn.finish()
                raise psycopg.OperationalError("the server does not answer")
            wanted = waiting.send(ready)
    except StopIteration as done:
        value: T = done.value
        return value


def _check_server(connection: psycopg.Connection[Row]) -> None:
    version = connection.info.server_version
    if version < _OLDEST_SERVER:
        raise ConfigurationError(
            f"The server is PostgreSQL {version // 10000}; an account needs 13 or newer."
        )
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise ConfigurationError(
            f"The database's encoding is {encoding}, which cannot hold every prompt. Use a "
            "database that was made with ENCODING 'UTF8'."
        )
