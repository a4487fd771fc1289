"""Work that is handed to helper threads is done, even if the thread it was meant for has ended."""

import asyncio
import threading
from queue import SimpleQueue
from typing import Any

import pytest
from waiting import wait_until

from langchain_qwen_image.concurrency import work
from langchain_qwen_image.concurrency.helper_threads import finished, interruptible
from langchain_qwen_image.concurrency.work import KEPT


@pytest.fixture(autouse=True)
def threads(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Start with no helper thread, and return the list of those that are idle."""
    monkeypatch.setattr(work, "_waiting", SimpleQueue())
    monkeypatch.setattr(work, "_idle", [])
    return work._idle


def _do(is_async: bool) -> object:
    if is_async:
        return asyncio.run(finished(lambda: "done"))
    return interruptible(lambda: "done", KEPT)


@pytest.mark.parametrize("is_async", [False, True])
def test_work_for_a_thread_that_has_ended(threads: list[None], is_async: bool) -> None:
    """Another thread is started for it."""
    threads.append(None)
    assert _do(is_async) == "done"


@pytest.mark.parametrize("is_async", [False, True])
def test_work_that_comes_while_a_thread_ends(
    threads: list[None], monkeypatch: pytest.MonkeyPatch, is_async: bool
) -> None:
    """A thread that has waited in vain does what was handed to it in that moment."""
    monkeypatch.setattr(work, "_BEGINS_WITHIN", threading.TIMEOUT_MAX)
    given_up, go_on = threading.Event(), threading.Event()

    class Late(SimpleQueue):  # type: ignore[type-arg]
        def get(self, block: bool = True, timeout: float | None = None) -> Any:
            try:
                return super().get(block, timeout)
            except work.Empty:
                given_up.set()
                go_on.wait()
                raise

    monkeypatch.setattr(work, "_waiting", Late())
    monkeypatch.setattr(work, "LINGER_SECONDS", 0.01)
    threads.append(None)
    work.start_thread(work._help, "helper")
    wait_until(given_up.is_set)
    real = work.Work.hand_over

    def hand_over(self: work.Work[Any]) -> None:
        real(self)
        go_on.set()

    monkeypatch.setattr(work.Work, "hand_over", hand_over)
    assert _do(is_async) == "done"
