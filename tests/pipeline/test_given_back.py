"""Calls that end before their POST: what they held is free again, whatever ended them."""

import asyncio
import itertools
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from held import HeldServer
from langchain_core.rate_limiters import BaseRateLimiter
from suspensions import cancel_at
from waiting import PATIENCE, wait_until

from langchain_qwen_image import Budget, QwenImageGenerator
from langchain_qwen_image.account.account import Account
from langchain_qwen_image.account.pace import Pace
from langchain_qwen_image.concurrency.runtime import BLOCKING, Blocking, run_blocking
from langchain_qwen_image.concurrency.work import current_work
from langchain_qwen_image.errors import BudgetExceededError, ResultUnknownError
from langchain_qwen_image.sandbox import SandboxServer

LIMIT = 3


class Closed(BaseRateLimiter):
    """Lets nobody pass."""

    def acquire(self, *, blocking: bool = True) -> bool:
        """Say no: an asynchronous call waits without blocking."""
        raise AssertionError

    async def aacquire(self, *, blocking: bool = True) -> bool:
        """Wait for ever."""
        return await asyncio.Event().wait()


def _in_memory(_: str) -> tuple[dict[str, Any], Callable[[], Any]]:
    budget = Budget(max_images=LIMIT)
    return {"budget": budget}, lambda: budget.remaining_images


def _in_a_file(location: str) -> tuple[dict[str, Any], Callable[[], Any]]:
    budget = Budget.file(location, max_images=LIMIT)
    return {"budget": budget}, lambda: budget.remaining_images


def _beside_an_account(location: str) -> tuple[dict[str, Any], Callable[[], Any]]:
    budget = Budget(max_images=LIMIT)
    return {"budget": budget, "account": location}, lambda: budget.remaining_images


def _of_the_account(location: str) -> tuple[dict[str, Any], Callable[[], Any]]:
    account = Account(location, max_images=LIMIT)
    return {"account": account}, lambda: account.remaining_images


@pytest.mark.parametrize("waits", ["for a rate limiter", "for the pace"])
@pytest.mark.parametrize(
    "money",
    [_in_memory, _in_a_file, _beside_an_account, _of_the_account],
    ids=lambda one: one.__name__,
)
def test_calls_that_time_out_before_their_post_cost_nothing(
    server: SandboxServer, new_location: Callable[[], str], money: Any, waits: str
):
    """Three calls that give up while they wait leave all of three images to buy."""
    settings, left = money(new_location())
    common = {"api_key": "test-key-g", "base_url": server.base_url, **settings}
    pace = Pace()
    run_blocking(pace.hold(BLOCKING, 100))
    how = {"rate_limiter": Closed()} if waits == "for a rate limiter" else {"pace": pace}
    waiting = QwenImageGenerator(**common, **how)
    for _ in range(LIMIT):
        with pytest.raises(TimeoutError):
            asyncio.run(asyncio.wait_for(waiting.ainvoke("a fox"), 0.3))
        assert left() == LIMIT
    assert server.gateway.post_count == 0
    generator = QwenImageGenerator(**common, pace=False)
    for _ in range(LIMIT):
        generator.invoke("a fox")
    with pytest.raises(BudgetExceededError):
        generator.invoke("a fox")
    assert (left(), server.gateway.post_count) == (0, LIMIT)
    generator.close()


@pytest.fixture
def deaf() -> Iterator[str]:
    """Return the address of a server whose queue of connections is full: connecting takes long."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a full queue refuses")
def test_calls_that_are_cut_off_while_they_connect_cost_nothing(
    deaf: str, new_location: Callable[[], str]
):
    """A loop that ends before the connection is made leaves the money to be spent."""
    account = Account(new_location(), max_images=LIMIT)
    generator = QwenImageGenerator(api_key="test-key-g", base_url=deaf, account=account)
    for number in range(LIMIT + 1):
        with pytest.raises(TimeoutError):
            asyncio.run(
                asyncio.wait_for(generator.ainvoke("a fox", idempotency_key=f"{number}"), 0.3)
            )
        wait_until(lambda: account.remaining_images == LIMIT)
    assert account.spent_usd == account.reserved_usd == 0


@pytest.mark.slow
@pytest.mark.parametrize("then", ["the loop goes on", "the loop ends", "it is cancelled again"])
def test_a_call_is_cancelled_at_every_await(
    server: SandboxServer, location: str, tmp_path: Path, then: str
):
    """Wherever a call is cancelled, its money is where its POST is, and its key is paid for once.

    A call that goes on in the background is booked and saved. One that is cut off there is unknown
    if its POST may have left, and free otherwise.
    """
    account, budget = Account(location), Budget(max_images=1000)
    generator = QwenImageGenerator(
        api_key="test-key-g",
        base_url=server.base_url,
        account=account,
        budget=budget,
        save_to=tmp_path / "images",
    )
    generator.invoke("a fox")

    async def is_cancelled(number: int) -> bool:
        again = then == "it is cancelled again"
        task = cancel_at(number, lambda: ask(number), again=again)
        await asyncio.wait([task])
        while then != "the loop ends" and len(tasks := asyncio.all_tasks()) > 1:
            await asyncio.wait(tasks - {asyncio.current_task()})
        asyncio.get_running_loop().set_task_factory(None)  # the loop's own end is not disturbed
        return task.cancelled()

    def ask(number: int) -> Any:
        return generator.ainvoke(f"{number} foxes", idempotency_key=str(number))

    def posts(number: int) -> int:  # by prompt: the server may read a call that was cut off later
        prompt = f'"{number} foxes"'.encode()
        return sum(prompt in request.content for request in server.gateway.requests)

    ended_as = set[str]()
    for number in itertools.count(1):
        was_cancelled = asyncio.run(is_cancelled(number))
        wait_until(lambda: not account.reserved_usd)
        call = account.find_key(server.base_url, "", str(number))
        state = call.state if call else "not entered"
        ended_as.add(state)
        if state in ("not entered", "asked", "refused"):
            assert posts(number) == 0
        try:
            result = asyncio.run(ask(number))
        except ResultUnknownError:
            assert state == "unknown"
            assert then != "the loop goes on"
            assert posts(number) <= 1
        else:
            assert result.image.path
            assert posts(number) == 1
        assert (account.reserved_usd, budget.reserved_usd) == (0, 0)
        assert account.images == budget.images
        if not was_cancelled:
            break
    assert ended_as >= {"not entered", "asked", "saved"}
    assert then != "the loop goes on" or "unknown" not in ended_as
    generator.close()


def test_a_call_that_is_cut_off_while_its_post_is_out_is_spent(location: str):
    """A loop that ends before the answer comes leaves the call unknown, and its money spent."""
    account = Account(location)
    with HeldServer() as held:
        generator = QwenImageGenerator(
            api_key="test-key-g", base_url=held.base_url, account=account
        )

        async def leave() -> None:
            task = asyncio.ensure_future(generator.ainvoke("a fox", idempotency_key="1"))
            await asyncio.to_thread(wait_until, lambda: held.gateway.post_count == 1)
            task.cancel()
            await asyncio.wait([task])

        asyncio.run(leave())
        wait_until(lambda: not account.reserved_usd)
        call = account.find_key(held.base_url, "", "1")
        assert call is not None
        assert (call.state, account.images) == ("unknown", 1)


class _Interrupting(Blocking):
    """Interrupts the main thread just before the step of a number, and waits until it knows."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._left = number

    async def either(self, blocking: Any, asynchronous: Any, /, *args: Any, **named: Any) -> Any:
        self._count()
        return await super().either(blocking, asynchronous, *args, **named)

    async def beside(self, work: Any, /, *args: Any, **named: Any) -> Any:
        self._count()
        return await super().beside(work, *args, **named)

    def _count(self) -> None:
        self._left -= 1
        if self._left == 0:
            work = current_work.get()
            assert work is not None
            main = threading.main_thread().ident
            assert main is not None
            signal.pthread_kill(main, signal.SIGINT)
            assert work._is_left.wait(PATIENCE)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals are for no thread there")
def test_a_blocking_call_is_interrupted_before_every_step(
    server: SandboxServer, location: str, tmp_path: Path
):
    """Blocking twin: what has not left does not leave, and what has left is booked and saved."""
    account, budget = Account(location), Budget(max_images=1000)
    generator = QwenImageGenerator(
        api_key="test-key-g",
        base_url=server.base_url,
        account=account,
        budget=budget,
        save_to=tmp_path / "images",
    )
    generator.invoke("a fox")
    plain, ended_as = generator.pipeline, set[str]()
    for number in itertools.count(1):
        before, key = server.gateway.post_count, str(number)
        generator._pipelines[:] = [replace(plain, blocking=_Interrupting(number))]
        was_interrupted = False
        try:
            generator.invoke("a fox", idempotency_key=key)
        except KeyboardInterrupt:
            was_interrupted = True
        wait_until(lambda: not account.reserved_usd)
        call = account.find_key(server.base_url, "", key)
        state = call.state if call else "not entered"
        ended_as.add(state)
        if state in ("not entered", "asked", "refused"):
            assert server.gateway.post_count == before
        generator._pipelines[:] = [plain]
        result = generator.invoke("a fox", idempotency_key=key)
        assert result.image.path
        assert server.gateway.post_count - before == 1
        assert (account.reserved_usd, budget.reserved_usd) == (0, 0)
        assert account.images == budget.images
        if not was_interrupted:
            break
    assert number > 5
    assert ended_as & {"asked", "refused"}
    assert ended_as & {"answered", "saved"}
    generator.close()
