"""The account's file: who may read it, what may stand at its path, and what survives."""

import _thread
import inspect
import os
import queue
import random
import re
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from decimal import Decimal
from itertools import count, islice
from pathlib import Path

import pytest
import warm
from waiting import PATIENCE, wait_until

from langchain_qwen_image.account import opening as _opening
from langchain_qwen_image.account.account import Account
from langchain_qwen_image.account.database import Database
from langchain_qwen_image.account.keys import NewCall
from langchain_qwen_image.account.records import CallRecord
from langchain_qwen_image.account.store import Commit
from langchain_qwen_image.errors import AccountError, ConfigurationError

PRICE = Decimal("0.045")
SECRET = "c2VjcmV0LXNpZ25hdHVyZQ"
LINK = f"https://images.example/p.png?Signature={SECRET}"
FACTS = {
    "prompt": "a red fox",
    "parameters": {},
    "model": "qwen-image",
    "base_url": "https://gateway.example",
    "cost_usd": PRICE,
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the account will be."""
    return tmp_path / "images" / ".qwen-image.db"


def ask(account: Account, call_id: str = "c1") -> Commit[CallRecord]:
    """Enter a call with usual values."""
    return account.asked(NewCall(call_id, **FACTS))  # type: ignore[arg-type]


def keep_one(account: Account, name: str = "1") -> None:
    """Take one image from asked to saved."""
    ask(account, f"c{name}")
    account.sent(f"c{name}", lease_seconds=300)
    account.answered(
        f"c{name}", request_id="r", cost_usd=PRICE, images=[(f"i{name}", LINK, None)]
    ).result(PATIENCE)
    account.saved(f"i{name}", path=f"{name}.png", sha256="ab", size_bytes=7).result(PATIENCE)


# Not by import: this module's own imports would take most of the time.
PRELUDE = f"""
import os, signal, sys, threading
from decimal import Decimal
from langchain_qwen_image.account.account import Account
from langchain_qwen_image.account.records import CallRecord
from langchain_qwen_image.account.store import Commit
from langchain_qwen_image.account.database import Database
from langchain_qwen_image.account.keys import NewCall
PRICE, LINK, FACTS, PATIENCE = {PRICE!r}, {LINK!r}, {FACTS!r}, {PATIENCE!r}
{inspect.getsource(ask)}
{inspect.getsource(keep_one)}
"""


def run_python(program: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a program in a process of its own."""
    return warm.Popen(
        [sys.executable, "-W", "error", "-c", PRELUDE + program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


def fork(work: Callable[[], None]) -> int:
    """Start work in a child that has our imports, and return the child's number."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12: threads and fork
        child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return child


def wait_for(child: int) -> int:
    """Return the exit status of a child."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def bytes_beside(path: Path) -> bytes:
    """Return the bytes of the account and of SQLite's files beside it."""
    return b"".join(file.read_bytes() for file in sorted(path.parent.iterdir()))


def test_nothing_is_made_before_the_first_step(path: Path) -> None:
    """An account that was only made, or only read, leaves no file and no thread."""
    before = set(threading.enumerate())
    account = Account(path)
    assert (list(account.calls()), account.get("c1"), account.find_image("i1")) == ([], None, None)
    assert account.find_key("https://gateway.example", "run", "1") is None
    account.close()
    assert not path.parent.exists()
    assert set(threading.enumerate()) <= before


def test_the_files_are_their_owners_alone(path: Path) -> None:
    """The account and SQLite's files beside it have mode 0600, whatever the umask."""
    before = os.umask(0)
    try:
        account = Account(path)
        ask(account).result(PATIENCE)
    finally:
        os.umask(before)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == dict.fromkeys([path.name, path.name + "-wal", path.name + "-shm"], 0o600)


def test_an_open_mode_is_closed(path: Path) -> None:
    """An account that others could read becomes its owner's at the next use."""
    ask(Account(path)).result(PATIENCE)
    Account(path).close()
    path.chmod(0o644)
    ask(Account(path), "c2").result(PATIENCE)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def make_symlink(path: Path) -> None:
    """Point the path elsewhere."""
    path.symlink_to(path.parent / "elsewhere.db")


def make_foreign(path: Path) -> None:
    """Put another program's database at the path."""
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE notes (text)")
    connection.close()


def make_newer(path: Path) -> None:
    """Put an account of a later version at the path."""
    account = Account(path)
    ask(account).result(PATIENCE)
    account.close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        pytest.param(make_symlink, "symbolic link", id="symlink"),
        pytest.param(Path.mkdir, "not a file", id="folder"),
        pytest.param(
            lambda path: path.write_bytes(b"\x89PNG" * 500), "not a database", id="not-a-database"
        ),
        pytest.param(make_foreign, "another program", id="foreign-database"),
        pytest.param(make_newer, "schema version 99", id="newer-version"),
    ],
)
def test_what_is_no_account_is_left_alone(
    path: Path, make: Callable[[Path], None], says: str
) -> None:
    """Another thing at the path is a configuration error, to read or write, and is not touched."""
    path.parent.mkdir()
    make(path)
    before = path.read_bytes() if path.is_file() else b""
    account = Account(path)
    with pytest.raises(ConfigurationError, match=says):
        ask(account).result(PATIENCE)
    with pytest.raises(ConfigurationError, match=says):
        account.get("c1")
    assert (path.read_bytes() if path.is_file() else b"") == before


def test_a_file_left_empty_by_a_kill_is_filled(path: Path) -> None:
    """A file without a byte, left between making and filling it, becomes an account."""
    path.parent.mkdir()
    path.touch()
    assert Account(path).get("c1") is None
    ask(Account(path)).result(PATIENCE)


def test_a_disk_that_does_not_work_fails_the_step(tmp_path: Path) -> None:
    """A folder that cannot be made is an error of the step, and of nothing before it."""
    (tmp_path / "file").write_text("in the way")
    account = Account(tmp_path / "file" / "books.db")
    with pytest.raises(AccountError, match="could not be written"):
        ask(account).result(PATIENCE)


def test_a_full_disk_fails_every_step_of_the_transaction(path: Path) -> None:
    """When the file cannot grow, every caller is told, and the books before it are whole."""
    account = Account(path)
    ask(account, "before").result(PATIENCE)
    database = Database.at(path)
    with database._committer.writing:
        database._connections._to_write().execute("PRAGMA max_page_count = 1")
    commits = [
        account.asked(NewCall(f"c{number}", **(FACTS | {"prompt": "fox" * 5000})))  # type: ignore[arg-type]
        for number in range(5)
    ]
    for commit in commits:
        with pytest.raises(AccountError, match="full"):
            commit.result(PATIENCE)
    assert [call.id for call in account.calls()] == ["before"]
    account.close()
    ask(account, "after").result(PATIENCE)


def test_a_damaged_file_is_an_error_to_read(path: Path) -> None:
    """Damage behind a good header is told as what could not be read."""
    account = Account(path)
    for number in range(50):
        ask(account, f"c{number}")
    account.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    with pytest.raises(AccountError, match="could not be read"):
        list(account.calls())


def test_a_saved_images_link_is_gone_from_the_files(path: Path) -> None:
    """Once the last image is saved and the account closed, no file has a byte of a signature."""
    account = Account(path)
    keep_one(account, "1")
    ask(account, "c2")
    account.sent("c2", lease_seconds=300)
    account.answered("c2", request_id="r", cost_usd=PRICE, images=[("i2", LINK, None)]).result(
        PATIENCE
    )
    account.close()
    assert SECRET.encode() in bytes_beside(path)
    account.saved("i2", path="2.png", sha256="ab", size_bytes=7).result(PATIENCE)
    account.close()
    assert SECRET.encode() not in bytes_beside(path)


def test_no_saved_link_is_left_where_sqlite_moved_a_row(path: Path) -> None:
    """Links of all lengths, saved in any order among live ones, leave no copy in the file."""
    account, chance, live, asked = Account(path), random.Random(6), set(), count()
    for _ in range(25):
        commits = []
        for number in islice(asked, chance.randint(1, 100)):
            link = f"https://h/{'p' * chance.randint(1, 80)}?s=" + f"<{number}>" * 40
            ask(account, f"c{number}")
            account.sent(f"c{number}", lease_seconds=300)
            images = [(f"i{number}", link[: chance.randint(120, 400)], None)]
            commits.append(
                account.answered(f"c{number}", request_id="r", cost_usd=PRICE, images=images)
            )
            live.add(number)
        for saved in chance.sample(sorted(live), chance.randint(0, len(live))):
            live.discard(saved)
            place = "d" * chance.randint(1, 300)
            commits.append(account.saved(f"i{saved}", path=place, sha256="0" * 64, size_bytes=9))
        assert [commit.exception(30) for commit in commits] == [None] * len(commits)
    account.close()
    found = {int(name) for name in re.findall(rb"<(\d+)>", bytes_beside(path))}
    assert found == live


def test_a_saved_images_link_leaves_the_log_without_closing(path: Path) -> None:
    """When the writing is done, the write-ahead log is emptied of the link."""
    program = """
keep_one(Account(sys.argv[1]))
for thread in threading.enumerate():
    if thread is not threading.current_thread():
        thread.join()
os.kill(os.getpid(), signal.SIGKILL)
"""
    process = run_python(program, path)
    assert "Traceback" not in process.communicate(timeout=600)[1]
    assert SECRET.encode() not in bytes_beside(path)


def test_a_reader_keeps_the_log_until_the_next_time(path: Path) -> None:
    """While another program reads, the log waits; writing goes on and does not."""
    account = Account(path)
    ask(account, "c0").result(PATIENCE)
    reader = sqlite3.connect(path, isolation_level=None)
    try:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM calls").fetchone()
        keep_one(account)
        keep_one(account, "2")
    finally:
        reader.close()
    account.close()
    assert SECRET.encode() not in bytes_beside(path)


def test_two_accounts_on_one_path_share_the_books(path: Path) -> None:
    """Two objects on the same path, however it is spelled, see each other's steps."""
    ask(Account(path)).result(PATIENCE)
    other = Account(path.parent / ".." / path.parent.name / path.name)
    other.sent("c1", lease_seconds=300).result(PATIENCE)
    call = Account(path).get("c1")
    assert call is not None
    assert call.state == "sent"


def test_a_relative_path_is_fixed_when_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later change of folder does not move the books."""
    monkeypatch.chdir(tmp_path)
    account = Account("books.db")
    monkeypatch.chdir("/")
    ask(account).result(PATIENCE)
    assert (tmp_path / "books.db").exists()


def test_a_deleted_file_is_made_anew(path: Path) -> None:
    """After the folder was deleted, as in a notebook, the next step makes it again."""
    account = Account(path)
    ask(account).result(PATIENCE)
    for file in path.parent.iterdir():
        file.unlink()
    path.parent.rmdir()
    ask(account, "c2").result(PATIENCE)
    assert [call.id for call in account.calls()] == ["c2"]


def test_threads_write_at_once(path: Path) -> None:
    """Steps of many threads are all in the books."""
    account = Account(path)

    def work(name: int) -> None:
        for number in range(25):
            ask(account, f"{name}-{number}").result(PATIENCE)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({call.id for call in account.calls()}) == 200


@needs_fork
def test_processes_write_at_once(path: Path) -> None:
    """Eight processes of 200 steps each, opening a new file together, lose and refuse none."""

    def work(name: int) -> None:
        account = Account(path)
        for number in range(50):
            keep_one(account, f"{name}-{number}")

    children = [fork(lambda name=name: work(name)) for name in range(8)]
    assert [wait_for(child) for child in children] == [0] * 8
    calls = list(Account(path).calls())
    assert (len(calls), {call.state for call in calls}) == (400, {"saved"})


KILLED = """
account = Account(sys.argv[1])
steps = {
    "asked": lambda: ask(account),
    "sent": lambda: account.sent("c1", lease_seconds=300),
    "answered": lambda: account.answered(
        "c1", request_id="r", cost_usd=PRICE, images=[("i1", LINK, None)]
    ),
    "saved": lambda: account.saved("i1", path="1.png", sha256="ab", size_bytes=7),
}
for name, step in steps.items():
    step().result()
    if name == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("step", ["asked", "sent", "answered", "saved"])
def test_a_kill_after_a_commit_loses_no_step(path: Path, step: str) -> None:
    """What a step's caller was told is committed is there after kill -9, links included."""
    process = run_python(KILLED, path, step)
    process.communicate(timeout=600)
    assert process.returncode == -signal.SIGKILL
    account = Account(path)
    call = account.get("c1")
    assert call is not None
    assert call.state == step
    links = {"answered": [LINK], "saved": [LINK.partition("?")[0]]}.get(step, [])
    assert [image.url for image in call.images] == links
    account.close()


def test_a_kill_at_any_moment_leaves_whole_books(path: Path) -> None:
    """A process killed while it writes leaves every step it reported, and a file that opens."""
    program = """
account = Account(sys.argv[1])
for number in range(100000):
    ask(account, f"c{number}").result()
    print(number, flush=True)
"""
    for _ in range(3):
        process = run_python(program, path)
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(100)]
        process.kill()
        lines += process.communicate(timeout=600)[0].splitlines()
        account = Account(path)
        assert [call.id for call in account.calls()][: len(lines)] == [
            f"c{number}" for number in range(len(lines))
        ]
        account.close()
        path.unlink()


@pytest.mark.parametrize(
    "end", ["pass", "raise SystemExit(0)", "import atexit; atexit.register(f)"]
)
def test_the_interpreter_ends_with_the_books_written(path: Path, end: str) -> None:
    """A program that ends without waiting or closing neither hangs nor loses a step."""
    program = f"""
account = Account(sys.argv[1])
f = lambda: ask(account, "late").result()
for number in range(300):
    ask(account, str(number))
{end}
"""
    process = run_python(program, path)
    assert process.communicate(timeout=600) == ("", "")
    assert len(list(Account(path).calls())) == 300 + ("atexit" in end)


def test_a_step_is_written_when_no_thread_starts_any_more(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Late in the interpreter's shutdown, the caller itself writes."""

    def refuse(*_: object) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(_thread, "start_new_thread", refuse)
    commit = ask(Account(path))
    assert commit.done()
    commit.result()


@needs_fork
def test_a_forked_child_writes_to_the_same_books(path: Path) -> None:
    """Parent and child write on after a fork, in the midst of other threads' steps."""
    account = Account(path)
    keep_one(account, "parent")
    stop = threading.Event()

    def work() -> None:
        numbers = count()
        while not stop.is_set():
            # Some wait in the queue at a fork: a child that wrote them too would refuse them here.
            for commit in [ask(account, f"thread-{number}") for number in islice(numbers, 20)]:
                commit.result(PATIENCE)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for number in range(5):
            assert wait_for(fork(lambda name=number: keep_one(account, f"child-{name}"))) == 0
    finally:
        stop.set()
        thread.join()
    saved = [call.id for call in account.calls(states=["saved"])]
    assert saved == ["cparent", *(f"cchild-{number}" for number in range(5))]


def test_a_step_that_comes_as_the_writer_ends_is_written(path: Path) -> None:
    """Steps handed over while the file is another's, or as the one before is done, are written."""
    account = Account(path)
    ask(account, "first").result(PATIENCE)
    other = sqlite3.connect(path, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        waiting = [ask(account, "a"), ask(account, "b")]
        assert [commit.done() for commit in waiting] == [False, False]
        other.execute("ROLLBACK")
    finally:
        other.close()
    assert [commit.result(PATIENCE).id for commit in waiting] == ["a", "b"]
    for number in range(50):
        follower: queue.SimpleQueue[Commit[CallRecord]] = queue.SimpleQueue()
        commit = ask(account, f"before-{number}")
        commit.add_done_callback(
            lambda _, put=follower.put, name=f"after-{number}": put(ask(account, name))
        )
        follower.get(timeout=30).result(PATIENCE)


def test_an_unused_account_is_closed_when_forgotten(path: Path) -> None:
    """A forgotten account closes its file, so that SQLite's files beside it are gone."""
    account = Account(path)
    ask(account).result(PATIENCE)
    del account
    wait_until(lambda: [file.name for file in path.parent.iterdir()] == [path.name])


def busy() -> sqlite3.OperationalError:
    """Return the error of a file in use."""
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY
    return error


def test_a_busy_file_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What SQLite refuses as busy is repeated until it works, or the time is over."""
    answers = [busy(), busy(), True]

    def action() -> bool:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert _opening.patiently(action, Path())
    monkeypatch.setattr(_opening, "BUSY_SECONDS", -1.0)
    answers.append(busy())
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        _opening.patiently(action, Path())
