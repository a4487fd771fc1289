"""A proxy on loopback before PostgreSQL, which cuts connections when the test says so."""

import contextlib
import socket
import threading
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Literal, Self

from postgres import Postgres

When = Literal["before", "after"]
Send = Callable[[bytes, socket.socket], None]


class PostgresProxy:
    """Pass bytes on in both directions; count the connections.

    With `cut("COMMIT")` the next message that has this word is the last of its connection: it is
    cut before the server gets it, or after the server has done it and before the client hears.
    """

    def __init__(self, server: Postgres) -> None:
        """Bind a free port and start to serve."""
        self._place = ("127.0.0.1", server.port)
        self._lock = threading.Lock()
        self._cut: tuple[bytes, When] | None = None
        self._is_refusing = False
        self._open: set[socket.socket] = set()
        self.accepts = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def url(self, schema: str, login: str = "postgres") -> str:
        """Return the address of a schema through this proxy."""
        place = f"{login}@127.0.0.1:{self.port}/postgres"
        return f"postgresql://{place}?options=-csearch_path%3D{schema}"

    def cut(self, word: str, when: When) -> None:
        """Cut the connection on which the next message with a word comes."""
        self._cut = (word.encode(), when)

    def cut_all(self) -> None:
        """Cut every connection now."""
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def refuse(self, is_refusing: bool) -> None:
        """Cut every connection, and every new one at once; or serve again."""
        self._is_refusing = is_refusing
        self.cut_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join()
        self.cut_all()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepts += 1
            if self._is_refusing:
                client.close()
                continue
            server = socket.create_connection(self._place)
            with self._lock:
                self._open |= {client, server}
            done = threading.Event()  # the server has got a message whose answer is not passed on
            self._spawn(client, server, partial(self._pass_on, done))
            self._spawn(server, client, partial(_pass_back, done))

    def _spawn(self, source: socket.socket, to: socket.socket, send: Send) -> None:
        thread = threading.Thread(target=self._pump, args=(source, to, send))
        self._threads.append(thread)
        thread.start()

    def _pump(self, source: socket.socket, to: socket.socket, send: Send) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                send(data, to)
        for end in (source, to):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self._open.discard(source)
        source.close()

    def _pass_on(self, done: threading.Event, data: bytes, server: socket.socket) -> None:
        if self._cut is not None and self._cut[0] in data:
            _, when = self._cut
            self._cut = None
            if when == "before":
                raise ConnectionError("cut")
            done.set()
        server.sendall(data)


def _pass_back(done: threading.Event, data: bytes, client: socket.socket) -> None:
    if done.is_set():
        raise ConnectionError("cut")
    client.sendall(data)
