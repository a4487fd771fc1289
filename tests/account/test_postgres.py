"""Jobs in PostgreSQL: what is committed once, repeated, refused and shown."""

import asyncio
import contextvars
import copy
import logging
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, TypeVar

import pytest
import warm
from held import HeldServer
from postgres import CAREFUL, PASSWORD, Postgres, execute
from postgres_proxy import PostgresProxy, When
from waiting import PATIENCE, wait_until

from langchain_qwen_image import QwenImageGenerator
from langchain_qwen_image.account import Account, Budget, postgres_connection
from langchain_qwen_image.account import postgres as store_module
from langchain_qwen_image.account.chosen import account_of
from langchain_qwen_image.account.postgres import PostgresStore
from langchain_qwen_image.account.store import Commit, NotTakenError, Transaction
from langchain_qwen_image.errors import AccountError, ConfigurationError

T = TypeVar("T")
_ADD = "UPDATE counters SET number = number + 1 WHERE name = :name"
_READ = "SELECT number FROM counters WHERE name = :name"


@pytest.fixture
def proxy(postgres: Postgres) -> Iterator[PostgresProxy]:
    """Serve the server on loopback, through what cuts connections."""
    with PostgresProxy(postgres) as running:
        yield running


@pytest.fixture
def store(database_url: str) -> Iterator[PostgresStore]:
    """Open an account's store with a table of counters beside it."""
    opened = PostgresStore(database_url)
    _prepare(opened)
    yield opened
    opened.close()


def _prepare(store: PostgresStore) -> None:
    def job(tx: Transaction) -> None:
        tx.execute("CREATE TABLE counters (name TEXT PRIMARY KEY, number BIGINT NOT NULL)")
        tx.execute("INSERT INTO counters VALUES ('a', 0), ('b', 0)")

    store.submit(job).result()


def _adding(name: str) -> Callable[[Transaction], int]:
    def job(tx: Transaction) -> int:
        row = tx.lock(_READ, {"name": name})
        tx.execute(_ADD, {"name": name})
        return 1 if row is None else row["number"] + 1

    return job


def _apart(store: PostgresStore, job: Callable[[Transaction], T]) -> Commit[T]:
    """Hand a job over as another thread or task does: it waits for none of ours."""
    return contextvars.Context().run(store.submit, job)


def _number(store: PostgresStore, name: str = "a") -> int:
    row = store.read(lambda tx: tx.one(_READ, {"name": name}), missing=None)
    assert row is not None
    return row["number"]


def test_a_job_is_one_transaction(store: PostgresStore):
    """What a failed job has written is undone; other jobs are not."""

    def fail(tx: Transaction) -> None:
        tx.execute(_ADD, {"name": "a"})
        raise KeyError("mine")

    commits = [store.submit(job) for job in (_adding("a"), fail, _adding("a"))]
    wait(commits)
    assert isinstance(commits[1].exception(), KeyError)
    assert _number(store) == 2


async def test_a_commit_can_be_awaited(store: PostgresStore):
    """Tasks await commits; nothing blocks the loop."""
    numbers = await asyncio.gather(*(store.submit(_adding("a")) for _ in range(20)))
    assert sorted(numbers) == list(range(1, 21))


def test_any_thread_and_any_loop_may_use_it(store: PostgresStore):
    """Threads and event loops share a store, and lose nothing."""

    def in_loop(_: int) -> int:
        async def run() -> int:
            return await store.submit(_adding("a"))

        return asyncio.run(run())

    with ThreadPoolExecutor(8) as pool:
        in_loops = list(pool.map(in_loop, range(20)))
        in_threads = list(pool.map(lambda _: store.submit(_adding("a")).result(), range(20)))
    assert sorted(in_loops + in_threads) == list(range(1, 41))


@pytest.mark.parametrize("kind", ["thread", "task"])
def test_what_one_hands_over_runs_in_that_order(store: PostgresStore, kind: str):
    """Jobs of one thread or task wait for the ones before them, also when nobody waits for those.

    Others do not wait: here for a row that one of them holds.
    """
    held, release = threading.Event(), threading.Event()

    def hold(tx: Transaction) -> None:
        tx.lock(_READ, {"name": "b"})
        held.set()
        release.wait()

    async def run() -> None:
        for number in range(30):
            store.submit(setting(number))

    def setting(number: int) -> Callable[[Transaction], int]:
        sql = "UPDATE counters SET number = :new WHERE name = 'a' AND number = :old"
        return lambda tx: tx.execute(sql, {"new": number + 1, "old": number})

    holding = _apart(store, hold)
    held.wait()
    if kind == "task":
        asyncio.run(run())
    else:
        for number in range(30):
            store.submit(setting(number))
    wait_until(lambda: _number(store) == 30)
    release.set()
    holding.result()


def test_reading_makes_no_tables(database_url: str, postgres: Postgres, schema: str):
    """A look at a database without an account writes nothing to it."""
    store = PostgresStore(database_url)
    assert store.read(lambda tx: tx.all("SELECT * FROM calls"), missing="none") == "none"
    count = f"SELECT count(*) FROM pg_tables WHERE schemaname = '{schema}'"
    assert execute(postgres, count) == [(0,)]
    store.close()


def test_those_who_come_together_make_the_tables_once(database_url: str):
    """Stores that begin at the same moment find one set of tables."""
    stores = [PostgresStore(database_url) for _ in range(6)]
    commits = [one.submit(lambda tx: tx.one("SELECT count(*) AS n FROM calls")) for one in stores]
    assert [commit.result() for commit in commits] == [{"n": 0}] * 6
    for one in stores:
        one.close()


def test_the_same_address_is_the_same_store(database_url: str):
    """Two accounts of one address share their connections; so does an unpickled one."""
    store = PostgresStore.at(database_url)
    assert PostgresStore.at(database_url) is store
    assert pickle.loads(pickle.dumps(store)) is store


def test_a_password_that_a_pickle_left_behind_is_found_where_it_is_used(
    monkeypatch: pytest.MonkeyPatch,
):
    """A copy in this process is the store itself; elsewhere the variable has the password."""
    url = "postgresql://u:s3cret@db.example/books"
    store = PostgresStore.at(url)
    pickled = pickle.dumps(store)
    assert b"s3cret" not in pickled
    assert copy.deepcopy(store) is store
    assert pickle.loads(pickled) is store
    del store
    assert pickle.loads(pickled).url == "postgresql://u@db.example/books"
    monkeypatch.setenv("QWEN_IMAGE_DATABASE", url)
    assert pickle.loads(pickled).url == url
    monkeypatch.setenv("QWEN_IMAGE_DATABASE", "postgresql://u:other@elsewhere.example/books")
    assert pickle.loads(pickled).url == "postgresql://u@db.example/books"


def test_the_time_is_the_servers_and_passes_within_a_transaction(store: PostgresStore):
    """`now` is the clock, not the moment at which the transaction began."""

    def job(tx: Transaction) -> tuple[int, int, Any]:
        first = tx.now()
        tx.one("SELECT pg_sleep(0.01)")
        return first, tx.now(), tx.one("SELECT extract(epoch FROM now()) AS begun")

    first, second, row = store.submit(job).result()
    assert second - first >= 10_000
    assert row["begun"] <= first / 1e6


@pytest.mark.parametrize("value", ["a\0b", "\ud800", "\ufffe0000", "图\U0001f98a", "\\x41", "'"])
def test_every_text_is_stored(store: PostgresStore, value: str):
    """Texts that PostgreSQL has no place for come back as they were."""

    def job(tx: Transaction) -> Any:
        tx.execute("INSERT INTO counters VALUES (:name, 7)", {"name": value})
        return tx.one("SELECT name FROM counters WHERE name = :name", {"name": value})

    assert store.submit(job).result() == {"name": value}


def test_big_numbers_are_stored_or_refused(store: PostgresStore):
    """64 bits are a whole number's room, as in SQLite; sums of them are whole numbers too."""

    def job(number: int) -> Callable[[Transaction], Any]:
        def run(tx: Transaction) -> Any:
            tx.execute("UPDATE counters SET number = :n WHERE name = 'a'", {"n": number})
            return tx.one("SELECT sum(number) AS n FROM counters")

        return run

    row = store.submit(job(2**63 - 1)).result()
    assert row == {"n": 2**63 - 1}
    assert type(row["n"]) is int
    with pytest.raises(AccountError, match="out of range"):
        store.submit(job(2**63)).result()


def test_a_deadlock_is_nobodys_failure(store: PostgresStore):
    """Of two jobs that lock each other out one is undone by the server, and runs again."""
    both = threading.Barrier(2)

    def crosswise(first: str, second: str) -> Callable[[Transaction], None]:
        is_first_try = True

        def job(tx: Transaction) -> None:
            nonlocal is_first_try
            tx.execute(_ADD, {"name": first})
            if is_first_try:
                is_first_try = False
                both.wait()
            tx.execute(_ADD, {"name": second})

        return job

    for commit in [_apart(store, crosswise("a", "b")), _apart(store, crosswise("b", "a"))]:
        commit.result()
    assert (_number(store, "a"), _number(store, "b")) == (2, 2)


def test_a_row_that_appears_between_look_and_insert_is_found_by_a_second_look(store: PostgresStore):
    """Two jobs that enter the same key at once both find it entered: SQLite cannot race here."""
    both = threading.Barrier(2)

    def enter(tx: Transaction) -> str:
        if tx.one(_READ, {"name": "new"}) is not None:
            return "found"
        if not both.broken and both.n_waiting < 2:
            both.wait()
        tx.execute("INSERT INTO counters VALUES ('new', 1)")
        return "entered"

    outcomes = [commit.result() for commit in [_apart(store, enter), _apart(store, enter)]]
    assert sorted(outcomes) == ["entered", "found"]


def test_a_lost_idle_connection_is_replaced(proxy: PostgresProxy, schema: str):
    """A server that restarted, or a firewall that forgot, costs a step nothing."""
    store = PostgresStore(proxy.url(schema))
    _prepare(store)
    proxy.cut_all()
    assert store.submit(_adding("a")).result() == 1
    proxy.cut_all()
    assert _number(store) == 1
    store.close()


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("word", ["UPDATE", "COMMIT"])
def test_a_connection_lost_at_any_message_counts_once(
    proxy: PostgresProxy, schema: str, word: str, when: When
):
    """Whether the server did the last message or not, the job is done exactly once.

    The job counts up: it is not one that may be repeated.
    """
    store = PostgresStore(proxy.url(schema))
    _prepare(store)
    proxy.cut_all()  # the next connection is a new one, or the job would run again anyway
    assert _number(store) == 0
    proxy.cut(word, when)
    assert store.submit(_adding("a")).result() == 1
    assert store.submit(_adding("a")).result() == 2
    store.close()


def test_a_database_that_is_away_is_named_and_comes_back(proxy: PostgresProxy, schema: str):
    """The error names host and database; once the database is back, the next step works."""
    store = PostgresStore(proxy.url(schema, f"{CAREFUL}:s3cret-word"))
    proxy.refuse(True)
    for attempt, kind in (
        (lambda: store.submit(_adding("a")).result(), NotTakenError),
        (lambda: store.read(_adding("a"), missing=0), AccountError),
    ):
        with pytest.raises(AccountError, match=rf"//127.0.0.1:{proxy.port}/postgres") as caught:
            attempt()
        assert type(caught.value) is kind, "a step may be taken later"
        assert "s3cret" not in _everything_in(caught.value)
    proxy.refuse(False)
    with pytest.raises(AccountError, match="password authentication failed"):
        store.submit(_adding("a")).result()
    store.close()


def test_what_waited_for_a_database_that_is_away_fails_with_the_first(
    proxy: PostgresProxy, schema: str
):
    """A thousand jobs do not try one by one: each would take as long as connecting may."""
    store = PostgresStore(proxy.url(schema))
    proxy.refuse(True)
    steps = [store.submit(_adding("a")) for _ in range(200)]
    wait(steps)
    assert {type(step.exception()) for step in steps} == {NotTakenError}
    assert proxy.accepts < 100
    store.close()


def test_an_answer_that_comes_while_the_database_is_away_is_booked(
    proxy: PostgresProxy, schema: str, call: Callable[..., Any], tmp_path: Path
):
    """It is paid for: once the database is back the account has it, and nothing is reserved."""
    with HeldServer() as gateway:
        generator = QwenImageGenerator(
            api_key="test-key-0123456789abcdef",
            base_url=gateway.base_url,
            account=proxy.url(schema),
            save_to=tmp_path / "images",
        )
        with ThreadPoolExecutor() as pool:
            result = pool.submit(call, generator, "invoke", "a fox", idempotency_key="k")
            wait_until(lambda: gateway.gateway.post_count == 1)
            proxy.refuse(True)
            accepts = proxy.accepts
            gateway.release()
            wait_until(lambda: proxy.accepts > accepts + 2)  # it was tried in vain, more than once
            proxy.refuse(False)
            assert result.result(PATIENCE).image.path is not None
        account = Account(proxy.url(schema))
        found = account.find_key(gateway.base_url, "", "k")
        assert found is not None
        assert (found.state, account.totals().reserved_images) == ("saved", 0)
        account.close()


def test_the_password_is_nowhere(postgres: Postgres, schema: str, caplog: pytest.LogCaptureFixture):
    """No repr, pickle, message or log line has the password, and it is used all the same."""
    caplog.set_level(logging.DEBUG)
    url = postgres.url(schema, CAREFUL, PASSWORD)
    store = PostgresStore(url)
    _prepare(store)
    wrong = PostgresStore(url.replace("orr", "0rr"))
    with pytest.raises(AccountError, match="password authentication failed") as caught:
        _prepare(wrong)
    shown = [repr(store), str(store), repr(vars(caught.value)), caplog.text]
    shown += [_everything_in(caught.value), str(pickle.dumps(store)), str(pickle.dumps(wrong))]
    for text in shown:
        assert not any(piece in text for piece in ("horse", "battery", "corr", "c0rr"))
    store.close()


def _everything_in(error: BaseException) -> str:
    chain = traceback.TracebackException.from_exception(error, capture_locals=False)
    assert error.__context__ is None
    return "".join(chain.format())


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("CREATE TABLE calls (x INTEGER)", "has a table 'calls' that is not an account's"),
        (
            "CREATE TABLE qwen_image (version BIGINT); INSERT INTO qwen_image VALUES (1000)",
            "Use a newer version of langchain-qwen-image",
        ),
    ],
    ids=["foreign", "newer"],
)
def test_tables_that_are_not_ours_are_left_alone(
    database_url: str, postgres: Postgres, schema: str, sql: str, expected: str
):
    """Another program's tables and a newer version's are refused, in reading and in writing."""
    execute(postgres, sql, schema)
    store = PostgresStore(database_url)
    with pytest.raises(ConfigurationError, match=expected):
        store.submit(_adding("a")).result()
    with pytest.raises(ConfigurationError, match=expected):
        store.read(_adding("a"), missing=0)
    store.close()


def test_a_search_path_without_a_schema_is_refused(postgres: Postgres):
    """An address whose schema does not exist makes none, and says so."""
    store = PostgresStore(postgres.url("no_such_schema"))
    with pytest.raises(ConfigurationError, match="names no schema that exists"):
        store.submit(_adding("a")).result()
    store.close()


def test_a_missing_driver_is_said(monkeypatch: pytest.MonkeyPatch):
    """Without psycopg the error says what to install; with one that lacks libpq too."""
    with monkeypatch.context() as patch:
        patch.setattr(store_module, "find_spec", lambda name: None)
        with pytest.raises(ConfigurationError, match=r"langchain-qwen-image\[postgres\]"):
            PostgresStore("postgresql://db/books")
    monkeypatch.setitem(sys.modules, "langchain_qwen_image.account.postgres_sessions", None)
    store = PostgresStore("postgresql://db/books")
    with pytest.raises(ConfigurationError, match=r"langchain-qwen-image\[postgres\]"):
        store.submit(_adding("a")).result()


def test_a_job_that_swallows_an_error_is_not_taken_for_committed(store: PostgresStore):
    """PostgreSQL answers the COMMIT of a failed transaction with ROLLBACK, and no error."""

    def job(tx: Transaction) -> None:
        try:
            tx.execute("SELECT 1 / 0")
        except Exception:
            return

    with pytest.raises(AccountError, match="a statement failed"):
        store.submit(job).result()


def test_details_of_the_servers_errors_are_not_told(store: PostgresStore):
    """The server quotes the row that broke a rule: its link is a secret."""
    sql = "INSERT INTO counters VALUES ('https://x/y?sig=s3cret', NULL)"
    with pytest.raises(AccountError, match="not-null") as caught:
        store.submit(lambda tx: tx.execute(sql)).result()
    assert "s3cret" not in _everything_in(caught.value)


def test_a_lock_that_is_not_had_fails_the_step(
    store: PostgresStore, database_url: str, monkeypatch: pytest.MonkeyPatch
):
    """A row that another machine holds for long is an error, and no standstill."""
    monkeypatch.setattr(
        postgres_connection, "_BEGIN", postgres_connection._BEGIN.replace("'10000'", "'50'")
    )
    other = PostgresStore(database_url)
    held, release = threading.Event(), threading.Event()

    def hold(tx: Transaction) -> None:
        tx.lock(_READ, {"name": "a"})
        held.set()
        release.wait()

    holding = other.submit(hold)
    held.wait()
    with pytest.raises(AccountError, match="lock timeout"):
        store.submit(_adding("a")).result()
    release.set()
    holding.result()
    assert store.submit(_adding("a")).result() == 1
    other.close()


def test_a_server_that_stands_still_is_given_up(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
):
    """A server process that does not answer at all hangs nothing."""
    monkeypatch.setattr(postgres_connection, "_ANSWER_SECONDS", 0.3)

    def stand_still(tx: Transaction) -> None:
        row = tx.one("SELECT pg_backend_pid() AS pid")
        assert row is not None
        os.kill(row["pid"], signal.SIGSTOP)
        stopped.append(row["pid"])
        tx.one("SELECT 1")

    stopped: list[int] = []
    try:
        with pytest.raises(AccountError, match="does not answer"):
            store.submit(stand_still).result()
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    assert store.submit(_adding("a")).result() == 1


def test_what_is_committed_is_on_the_disk_whatever_the_server_does_by_default(
    store: PostgresStore, postgres: Postgres, database_url: str
):
    """A database that does not wait for its disk waits for ours; a stricter one stays strict."""
    for default, expected in (("off", "on"), ("remote_write", "remote_write")):
        url = f"{database_url}%20-csynchronous_commit%3D{default}"
        other = PostgresStore(url)
        row = other.submit(lambda tx: tx.one("SHOW synchronous_commit")).result()
        assert row == {"synchronous_commit": expected}
        other.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_forked_child_has_connections_of_its_own(store: PostgresStore):
    """Parent and child go on, each with its own; the child does what it was handed, and no more."""
    store.submit(_adding("a")).result()
    child = os.fork()
    if not child:
        status = 1
        try:
            store.submit(_adding("a")).result()
            store.close()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert store.submit(_adding("a")).result() == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_fork_amid_jobs_of_others_hangs_nobody(store: PostgresStore, database_url: str):
    """A child forked while other threads work uses the account at once; their jobs are theirs.

    Stores that were closed before do not matter.
    """
    closed = [PostgresStore(database_url) for _ in range(8)]  # which is left first is by chance
    for one in closed:
        one.submit(_adding("b")).result()
        one.close()
    commits = [store.submit(_adding("a")) for _ in range(40)]
    child = os.fork()
    if not child:
        status = 1
        try:
            store.submit(_adding("b")).result(timeout=PATIENCE)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    wait(commits)
    assert (_number(store, "a"), _number(store, "b")) == (40, 9)


_LEAVING = """
import atexit, sys, threading
from langchain_qwen_image.account.postgres import PostgresStore
store = PostgresStore(sys.argv[1])
add = "UPDATE counters SET number = number + 1 WHERE name = 'a'"
def job(tx):
    tx.execute(add)
atexit.register(lambda: store.submit(job))
for _ in range(20):
    store.submit(job)
threading.Thread(target=lambda: store.submit(job)).start()
"""


def test_what_was_handed_over_is_written_at_exit(store: PostgresStore, database_url: str):
    """The interpreter waits for jobs, also for those that come while it ends."""
    done = warm.run([sys.executable, "-W", "error", "-c", _LEAVING, database_url])
    assert (done.returncode, done.stderr) == (0, "")
    assert _number(store) == 22


def test_few_connections_serve_many_jobs(postgres: Postgres, proxy: PostgresProxy, schema: str):
    """A process has four connections at most."""
    store = PostgresStore(proxy.url(schema))
    _prepare(store)
    wait([_apart(store, _adding(name)) for name in "ab" * 50])
    assert 1 < proxy.accepts <= 4
    store.close()


def test_schemas_of_one_database_are_accounts_of_their_own() -> None:
    """What is shown of an address does not say which account it is: a schema is not shown."""
    one, other = (f"postgresql://host/db?options=-csearch_path%3D{name}" for name in "ab")
    assert Account(one).location == Account(other).location
    with pytest.raises(ConfigurationError, match="an account of its own"):
        account_of(one, None, sandbox=False, budget=Budget.file(other, max_images=1))
    same, _ = account_of(one, None, sandbox=False, budget=Budget.file(one, max_images=1))
    assert same is not None
    assert same.store is Account(one).store
