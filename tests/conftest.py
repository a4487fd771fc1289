"""What all tests share: no key, no tracing, a gateway on loopback, and both twins."""

import asyncio
import gc
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from accounts import account, accounts, clock, location, new_location
from buckets import bucket, bucket_server, gate
from built_site import site
from combinations import leave_combinations
from http_libraries import library
from hypothesis import HealthCheck, settings
from keyed_tools import held, keyed_tool, make_tool, program_of, stores
from odd_folders import as_nobody, mounted, open_folder
from page_services import services
from postgres import database_url, postgres, schema
from xdist.scheduler import LoadScopeScheduling

from cassettes import FOLDER, match_header_names, our_vcr_config
from langchain_qwen_image.account import paces
from langchain_qwen_image.sandbox import SandboxServer, draw_plain

# Fixtures of modules of their own.
__all__ = [
    "account",
    "accounts",
    "as_nobody",
    "bucket",
    "bucket_server",
    "clock",
    "database_url",
    "gate",
    "held",
    "keyed_tool",
    "library",
    "location",
    "make_tool",
    "mounted",
    "new_location",
    "open_folder",
    "postgres",
    "program_of",
    "schema",
    "services",
    "site",
    "stores",
]

Call = Callable[..., Any]

_HOME = tempfile.TemporaryDirectory(prefix="home-of-tests-")
_OPERATORS_OWN = (
    *("PIXAZO_", "LANGSMITH_", "LANGCHAIN_", "QWEN_IMAGE_", "PG"),
    *("AWS_", "GOOGLE_", "AZURE_"),
)
_ONE_WORKER = {
    "tests/docs/test_site": "one build of the site, and one start of the browser",
    "tests/docs/test_fresh_environments": "one cache of what is installed",
    "tests/gallery/test_gallery_browser": "one start of the browser",
}
_MEMORY = Path("/dev/shm")  # where Linux keeps files in memory
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


def pytest_configure(config: pytest.Config) -> None:
    """Hide the developer's home, where a key may be, and look for more examples in long runs."""
    if _in_memory():
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))
    os.environ["HOME"] = os.environ["USERPROFILE"] = _HOME.name
    # A shell lets what it starts behind `&` ignore it.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Every run has the same examples, so that one which is green stays so; a seed looks for others.
    # None is too slow: that would depend on the machine.
    is_seeded = config.getoption("--hypothesis-seed", None) is not None
    quick = "not long" in str(config.getoption("markexpr"))
    settings.register_profile(
        "ours",
        max_examples=100 if quick else 500,
        derandomize=not is_seeded,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile("ours")


def _in_memory() -> bool:
    """Say whether temporary folders fit into memory: accounts and images wait for a disk often.

    A container may have 64 MB of it; the long tests put virtual environments there.
    """
    if not os.access(_MEMORY, os.W_OK):
        return False
    found = os.statvfs(_MEMORY)
    return found.f_bavail * found.f_frsize >= 4 << 30


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave most combinations to the long run, and put the slow tests first.

    Workers that begin with the slow ones end at about the same time.
    """
    leave_combinations(items)
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_collection_finish() -> None:
    """Let the collector of garbage pass over the thousands of tests: they are there to the end."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:
    """Give each test to the next free worker, and files that share a build to one."""
    return _Sharing(config, log) if config.getoption("dist") == "loadgroup" else None


class _Sharing(LoadScopeScheduling):  # type: ignore[misc]
    """Instead of groups by mark: pytest-xdist 3.8 cannot write them into the ids of pytest 9.2."""

    def _split_scope(self, nodeid: str) -> str:
        return next((start for start in _ONE_WORKER if nodeid.startswith(start)), nodeid)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the developer's key, tracing, proxies and databases out of the tests.

    The network block does not see the sockets of libpq and of obstore, which are no Python.
    """
    for name in list(os.environ):
        if name.upper().startswith(_OPERATORS_OWN) or name.upper() in _PROXIES:
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _paces_end() -> Iterator[None]:
    """Let no pace outlive its test: the next one may use the same gateway, or the same port."""
    yield
    paces._shared.clear()


@pytest.fixture
def slow_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let seconds last a thousand times as long: no connection is idle for too many of them."""
    real = time.monotonic
    start = real()
    monkeypatch.setattr(time, "monotonic", lambda: start + (real() - start) / 1000)


@pytest.fixture
def server() -> Iterator[SandboxServer]:
    """Serve a sandbox gateway on loopback that counts what reaches it and draws quickly."""
    with SandboxServer(draw=draw_plain) as running:
        yield running


@pytest.fixture(params=["sync", "async"])
def call(request: pytest.FixtureRequest) -> Call:
    """Call a method by its blocking name, on either twin: `call(client, "generate", "a fox")`."""
    if request.param == "sync":
        return lambda target, name, *args, **kwargs: getattr(target, name)(*args, **kwargs)

    def call_async(target: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        async def run() -> Any:
            return await getattr(target, f"a{name}")(*args, **kwargs)

        return asyncio.run(run())

    return call_async


@pytest.fixture(scope="session")
def vcr_config() -> dict[str, Any]:
    """Say how cassettes are recorded and matched."""
    return our_vcr_config()


@pytest.fixture(scope="module")
def vcr_cassette_dir() -> str:
    """Say where cassettes are: at the top of the project."""
    return str(FOLDER)


def pytest_recording_configure(config: pytest.Config, vcr: Any) -> None:
    """Compare the names of headers too."""
    vcr.register_matcher("header_names", match_header_names)


@pytest.fixture(autouse=True)
def _whole_cassette(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that plays a part of its cassette; more than the whole never plays."""
    cassette = request.getfixturevalue("vcr") if request.node.get_closest_marker("vcr") else None
    yield
    sends = "no_overrides" not in request.node.name
    if cassette is not None and sends and request.config.getoption("--record-mode") is None:
        assert cassette.all_played, f"{cassette.play_count} of {len(cassette)} requests were sent"
