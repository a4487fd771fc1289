"""Connections: reused, spread, bound to their loop and process, and closed by somebody."""

import asyncio
import gc
import os
import ssl
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import warm
from conftest import Call
from loopback import LINK, LoopbackServer, answer, self_signed
from waiting import PATIENCE, wait_until

from langchain_qwen_image import QwenImageClient
from langchain_qwen_image.errors import RequestTimeoutError
from langchain_qwen_image.sandbox import SandboxServer, draw_plain
from langchain_qwen_image.transport.idle import IDLE_SECONDS

KEY = "test-key-0123456789abcdef"


def at(base_url: str, **settings: Any) -> QwenImageClient:
    """Return a client."""
    return QwenImageClient(api_key=KEY, base_url=base_url, **settings)


async def several(client: QwenImageClient, count: int) -> None:
    """Make so many calls, one after another."""
    for _ in range(count):
        await client.agenerate("a fox")


def make_calls(client: QwenImageClient, twin: str, count: int) -> None:
    """Make so many calls, one after another, on either twin."""
    if twin == "async":
        asyncio.run(several(client, count))
    else:
        for _ in range(count):
            client.generate("a fox")


either_twin = pytest.mark.parametrize("twin", ["sync", "async"])


@either_twin
def test_a_connection_is_used_again(twin: str) -> None:
    """Calls in a row share one connection."""
    with LoopbackServer() as gateway, at(gateway.base_url) as client:
        make_calls(client, twin, 5)
        assert (gateway.accepts, len(gateway.posts)) == (1, 5)


@either_twin
def test_an_idle_connection_is_not_trusted(twin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that has been idle for longer than its time is not used again."""
    assert IDLE_SECONDS <= 5
    clock = time.monotonic
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock() + now[0])

    def later(_: bytes) -> bytes:
        now[0] += IDLE_SECONDS
        return answer()

    with LoopbackServer() as gateway, at(gateway.base_url) as client:
        gateway._answers = (later,)
        make_calls(client, twin, 1)
        now[0] += IDLE_SECONDS + 1
        make_calls(client, twin, 1)
        assert gateway.accepts == 2


@either_twin
def test_a_connection_that_the_gateway_dropped(twin: str) -> None:
    """A connection that the gateway has closed meanwhile costs a new one, and no POST."""
    with LoopbackServer(answer(), hangs_up=True) as gateway, at(gateway.base_url) as client:
        if twin == "sync":
            for _ in range(3):
                client.generate("a fox")
                wait_until(lambda: not gateway._open)
        else:

            async def run() -> None:
                for _ in range(3):
                    await client.agenerate("a fox")
                    await asyncio.to_thread(wait_until, lambda: not gateway._open)

            asyncio.run(run())
        assert (gateway.accepts, len(gateway.posts)) == (3, 3)


async def test_calls_at_once_take_a_connection_each() -> None:
    """As many connections are opened as calls are in flight, and the next wave uses them again."""
    everyone = threading.Barrier(35)

    def together(_: bytes) -> bytes:
        everyone.wait(PATIENCE)
        return answer()

    with LoopbackServer(together) as gateway:
        async with at(gateway.base_url) as client:
            for _ in range(2):
                await asyncio.gather(*(client.agenerate("a fox") for _ in range(35)))
        assert (gateway.accepts, len(gateway.posts)) == (35, 70)


def test_threads_that_call_first_make_one_tls_context(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads whose first calls begin at once share the one TLS context of the process."""
    context, certificate = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    made = []
    make = httpx.create_ssl_context

    def note(*args: Any, **kwargs: Any) -> ssl.SSLContext:
        if not kwargs:
            made.append(args)
        return make(*args, **kwargs)

    monkeypatch.setattr(httpx, "create_ssl_context", note)
    everyone = threading.Barrier(8)

    def first_call(_: int) -> None:
        everyone.wait(PATIENCE)
        client.generate("a fox")

    with LoopbackServer(tls=context) as gateway, at(gateway.base_url) as client:
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(first_call, range(8)))
        assert len(gateway.posts) == 8
    assert made == [()]


@either_twin
def test_a_connection_that_failed_is_not_used_again(twin: str) -> None:
    """After an error the next call has a connection of its own, and the broken one is closed."""
    with LoopbackServer(answer()[:-20], answer(), hangs_up=True) as gateway:
        with at(gateway.base_url) as client:
            with pytest.raises(RequestTimeoutError):
                make_calls(client, twin, 1)
            make_calls(client, twin, 1)
        assert (gateway.accepts, len(gateway.posts)) == (2, 2)


def test_many_threads_share_one_client() -> None:
    """Threads that call at once get an answer each, one POST each."""
    with SandboxServer(draw=draw_plain) as gateway, at(gateway.base_url) as client:
        with ThreadPoolExecutor(16) as threads:
            results = list(threads.map(client.generate, [f"fox {n}" for n in range(64)]))
        assert [result.prompt for result in results] == [f"fox {n}" for n in range(64)]
        assert gateway.gateway.post_count == 64


def test_threads_with_loops_of_their_own() -> None:
    """One client serves several event loops at once, each with its own connections."""
    with SandboxServer(draw=draw_plain) as gateway:
        client = at(gateway.base_url)
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda _: asyncio.run(several(client, 4)), range(8)))
        assert gateway.gateway.post_count == 32


def test_runs_in_a_row() -> None:
    """`asyncio.run` after `asyncio.run` works, with blocking calls between them."""
    with LoopbackServer() as gateway:
        client = at(gateway.base_url)
        for _ in range(3):
            asyncio.run(several(client, 2))
            client.generate("a fox")
        assert len(gateway.posts) == 9
        client.close()


def test_a_loop_closed_by_hand_is_forgotten() -> None:
    """A loop that ended without its shutdown hooks does not stand in the way of the next."""
    with LoopbackServer() as gateway:
        client = at(gateway.base_url)
        loop = asyncio.new_event_loop()
        loop.run_until_complete(client.agenerate("a fox"))
        loop.run_until_complete(client.aclose())
        loop.run_until_complete(asyncio.to_thread(wait_until, lambda: not gateway._open))
        loop.run_until_complete(client.agenerate("a fox"))
        with warnings.catch_warnings():
            # Nobody can close its connection any more; it is left to the garbage collector.
            warnings.simplefilter("ignore", ResourceWarning)
            loop.close()
            del loop
            asyncio.run(several(client, 1))
            gc.collect()
        assert len(gateway.posts) == 3
        wait_until(lambda: not gateway._open)


def test_closing_is_not_the_end(call: Call) -> None:
    """After closing, the next call opens anew; closing twice is closing once."""
    with LoopbackServer() as gateway:
        client = at(gateway.base_url)
        call(client, "generate", "a fox")
        call(client, "close")
        client.close()
        call(client, "generate", "a fox")
        assert gateway.accepts == 2
        client.close()


async def test_closing_in_asyncio_closes_both() -> None:
    """`async with` closes the running loop's connections, and the blocking ones."""
    with LoopbackServer() as gateway:
        async with at(gateway.base_url) as client:
            await client.agenerate("a fox")
            await asyncio.to_thread(client.generate, "a fox")
            assert len(gateway._open) == 2
        await asyncio.to_thread(wait_until, lambda: not gateway._open)
        await client.aclose()


@either_twin
def test_closing_leaves_a_call_that_is_out(twin: str) -> None:
    """A client that is closed while an answer is on its way waits for it: it is paid for."""
    asked, closed = threading.Event(), threading.Event()

    def say(_: bytes) -> bytes:
        asked.set()
        assert closed.wait(PATIENCE)
        return answer()

    with LoopbackServer(say) as gateway:
        client = at(gateway.base_url)
        if twin == "sync":
            with ThreadPoolExecutor(1) as thread:
                paid = thread.submit(client.generate, "a fox")
                assert asked.wait(PATIENCE)
                client.close()
                closed.set()
                assert paid.result().image.url == LINK
        else:

            async def run() -> None:
                paid = asyncio.create_task(client.agenerate("a fox"))
                await asyncio.to_thread(asked.wait, PATIENCE)
                await client.aclose()
                closed.set()
                assert (await paid).image.url == LINK

            asyncio.run(run())
        wait_until(lambda: not gateway._open)
        assert len(gateway.posts) == 1


def test_a_client_that_is_dropped_closes_its_connections() -> None:
    """A client that goes away closes what it has open."""
    with LoopbackServer() as gateway:
        at(gateway.base_url).generate("a fox")
        gc.collect()
        wait_until(lambda: not gateway._open)


async def test_a_client_that_is_dropped_in_a_loop_closes_its_connections() -> None:
    """The same within a loop that goes on."""
    with LoopbackServer() as gateway:
        await at(gateway.base_url).agenerate("a fox")
        for _ in range(5):
            gc.collect()
            await asyncio.sleep(0)
        await asyncio.to_thread(wait_until, lambda: not gateway._open)


SCRIPT = """
import asyncio, os, sys, threading
from langchain_qwen_image import QwenImageClient

client = QwenImageClient(api_key="k", base_url=sys.argv[1])
async def twice():
    await client.agenerate("a fox")
    await client.agenerate("a fox")
"""


def in_another_process(base_url: str, script: str) -> None:
    """Run a script in a process where any warning is an error, and nothing may be printed."""
    done = warm.run([sys.executable, "-W", "error", "-c", SCRIPT + script, base_url])
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_fork_has_its_own_connections() -> None:
    """After a fork both processes go on, blocking and in asyncio, one POST for each call."""
    with SandboxServer(draw=draw_plain) as gateway:
        in_another_process(
            gateway.base_url,
            """
client.generate("a fox")
child = os.fork()
client.generate("a fox")
asyncio.run(twice())
client.generate("a fox")
if child:
    sys.exit(os.waitpid(child, 0)[1])
""",
        )
        assert gateway.gateway.post_count == 9


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(
            'asyncio.run(twice()); client.generate("a fox"); asyncio.run(twice())', id="both"
        ),
        pytest.param(
            "threads = [threading.Thread(target=lambda: asyncio.run(twice())) for _ in range(3)]\n"
            "[thread.start() for thread in threads]\n[thread.join() for thread in threads]",
            id="threads",
        ),
        pytest.param(
            "asyncio.run(twice())\ndel client\nimport gc\ngc.collect()", id="dropped by hand"
        ),
    ],
)
def test_closing_is_never_required(script: str) -> None:
    """A process that never closes its client ends without a warning."""
    with SandboxServer(draw=draw_plain) as gateway:
        in_another_process(gateway.base_url, script)
        assert gateway.gateway.post_count >= 1


def test_a_forked_child_leaves_its_parents_connections_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In another process the client opens its own connection, and closes none of its parent's."""
    with LoopbackServer() as gateway, at(gateway.base_url) as client:
        client.generate("a fox")
        monkeypatch.setattr(os, "getpid", lambda: -1)
        client.generate("a fox")
        assert (gateway.accepts, len(gateway._open)) == (2, 2)
        client.generate("a fox")
        assert gateway.accepts == 2
