"""An event loop in a thread of its own, for blocking code that wants what only tasks can do."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any


@contextmanager
def loop_thread() -> Iterator[Callable[[Awaitable[Any]], Any]]:
    """Start the loop, and give what runs an awaitable on it and returns its outcome.

    Works also under a running loop, as in a notebook, which it blocks.
    """
    started: Future[asyncio.AbstractEventLoop] = Future()

    def serve() -> None:
        with asyncio.Runner() as runner:
            started.set_result(runner.get_loop())
            runner.get_loop().run_forever()

    thread = threading.Thread(target=serve, name="qwen-image-loop", daemon=True)
    thread.start()
    loop = started.result()
    try:
        yield lambda waiting: asyncio.run_coroutine_threadsafe(_outcome(waiting), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


async def _outcome(waiting: Awaitable[Any]) -> Any:
    return await waiting
