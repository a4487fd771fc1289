"""`qwen-image mcp` as a process, and the SDK's client on its pipes."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import warm
from mcp import Client
from mcp.shared.message import SessionMessage
from mcp.types import jsonrpc_message_adapter
from waiting import PATIENCE

ERAS = ("legacy", "2026-07-28")
FOX = {"prompt": "a red fox", "size": "512*512"}


class McpProgram:
    """A server as a process, whose standard output and error are kept."""

    def __init__(
        self, *options: str, save_to: Path | None, env: Mapping[str, str] | None = None
    ) -> None:
        place = () if save_to is None else ("--save-to", str(save_to))
        self._error, error = os.pipe()
        self.process = warm.Popen(
            [sys.executable, "-m", "langchain_qwen_image", "mcp", *place, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=error,
            env={**os.environ, **(env or {})},
        )
        os.close(error)
        self._complaints: list[bytes] = []
        self._listening = threading.Thread(target=self._listen)
        self._listening.start()
        self.lines: list[bytes] = []

    @property
    def complained(self) -> str:
        """What it wrote to stderr so far."""
        return b"".join(self._complaints).decode()

    @property
    def port(self) -> int:
        """The port that it said it serves on."""
        return int(self.complained.partition("http://127.0.0.1:")[2].partition("/")[0])

    def close_input(self) -> None:
        """Do what a host does that has had enough."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def wait(self) -> int:
        """Return the exit status."""
        status = self.process.wait(PATIENCE)
        self._listening.join()
        return status

    def client(self, era: str, **options: Any) -> Client:
        """Return the SDK's client, on the pipes of the process."""
        return Client(self._piped(), mode=era, **options)

    def end(self) -> None:
        """Kill it, if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE)
        self._listening.join()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()

    def _piped(self) -> AbstractAsyncContextManager[Any]:
        return _pipes(self)

    def _listen(self) -> None:
        with os.fdopen(self._error, "rb", buffering=0) as stream:
            while piece := stream.read(65536):
                self._complaints.append(piece)


@asynccontextmanager
async def _pipes(program: McpProgram) -> AsyncIterator[tuple[Any, Any]]:
    said, heard = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    loop, process = asyncio.get_running_loop(), program.process
    assert process.stdin is not None
    assert process.stdout is not None

    def listen() -> None:
        for line in process.stdout or ():
            program.lines.append(line)
            message = SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
            try:
                asyncio.run_coroutine_threadsafe(said.send(message), loop).result()
            except (RuntimeError, anyio.BrokenResourceError, anyio.ClosedResourceError):
                return

    class Writing:
        async def send(self, item: SessionMessage) -> None:
            line = item.message.model_dump_json(by_alias=True, exclude_unset=True) + "\n"
            assert process.stdin is not None
            try:
                process.stdin.write(line.encode())
                process.stdin.flush()
            except (OSError, ValueError):
                raise anyio.BrokenResourceError from None

        async def aclose(self) -> None:
            pass

        async def __aenter__(self) -> "Writing":
            return self

        async def __aexit__(self, *_: object) -> None:
            pass

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    try:
        yield heard, Writing()
    finally:
        said.close()
        heard.close()


@contextmanager
def programs(save_to: Path | None, number: int, *options: str, **named: Any) -> Iterator[Any]:
    """Start servers that share a folder, and end them."""
    started = [McpProgram(*options, save_to=save_to, **named) for _ in range(number)]
    try:
        yield started
    finally:
        for program in started:
            program.end()
