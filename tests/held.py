"""A gateway on loopback that gets every request at once, and answers when the test says so."""

import sys
import threading
from types import TracebackType

from loopback import LoopbackServer
from waiting import PATIENCE

from langchain_qwen_image.sandbox import Draw, draw_plain
from langchain_qwen_image.sandbox.gateway import Gateway


class HeldServer(LoopbackServer):
    """Answer POSTs as the sandbox does, but none before `release()`; images are served at once.

    With a number, only so many are held back: the first that come, or the first after some. With
    `method="GET"` POSTs are answered at once, and images are held back.

    Attributes:
        is_holding: Set while or after an answer waits.
    """

    def __init__(
        self,
        first: int = sys.maxsize,
        draw: Draw | None = draw_plain,
        *,
        after: int = 0,
        method: str = "POST",
    ) -> None:
        """Bind a free port and start to serve; without `draw` images are seen, and take longer."""
        self._held = range(after, after + first)
        self._method = method
        self._came = 0
        self.is_holding = threading.Event()
        self._one_by_one = threading.Lock()
        self._released = threading.Event()
        super().__init__(self._say)
        self.gateway = Gateway(self.base_url, draw=draw)

    def release(self) -> None:
        """Answer what waits, and from now on at once."""
        self._released.set()

    def hold(self) -> None:
        """Hold back the answers of the POSTs that come from now on."""
        self._released.clear()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Answer what still waits, and end."""
        self.release()
        super().__exit__(kind, error, traceback)

    def _say(self, request: bytes) -> bytes:
        head, _, body = request.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        headers = dict(line.split(": ", 1) for line in lines)
        with self._one_by_one:
            answer = self.gateway.answer(method, target, headers, body)
            is_held = method == self._method and self._came in self._held
            self._came += method == self._method
        if is_held:
            self.is_holding.set()
            assert self._released.wait(PATIENCE), "nobody released the answer"
        if answer.fault == "drop":
            return b""
        fields = [f"{name}: {value}\r\n" for name, value in answer.all_headers().items()]
        return f"HTTP/1.1 {answer.status} Said\r\n{''.join(fields)}\r\n".encode() + answer.body
