"""Python programs in processes of their own, which need not import everything first.

To start an interpreter and to import the package takes most of a second. Here one process does it
once and forks for each program, on Linux; elsewhere these are the names of the standard library.
The programs are killed, are signalled and end as others do. What measures imports does not use it.
"""

import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import types
import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, AnyStr, NoReturn

_IMPORTED_LATE = ("asyncio", "httpcore", "sqlite3", "rich.progress", "rich.table", "graphs")
"""What the package imports where it is used, and what programs of the tests do."""


class _Forked(subprocess.Popen[AnyStr]):
    """A process that another one forks for us; that one tells its number and its end."""

    _report: Any

    def poll(self) -> int | None:
        """Return the exit status, or None while it runs."""
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status when it has ended."""
        status = self._ended(timeout)
        if status is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return status

    def _ended(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._report], [], [], timeout)[0]:
            with self._report:
                self.returncode = int(self._report.readline())
        return self.returncode

    def _execute_child(self, args: Sequence[str], *rest: Any) -> None:
        """Do what in the standard library forks and executes."""
        cwd, env = rest[4:6]
        pipes: tuple[int, ...] = rest[9:15]
        stdin, _, _, stdout, _, stderr = pipes
        files = [number if fd < 0 else fd for number, fd in enumerate((stdin, stdout, stderr))]
        place = str(Path(cwd or ".").resolve())
        order = {"arguments": args[1:], "folder": place, "env": dict(env or os.environ)}
        reading, writing = os.pipe()
        self._report = os.fdopen(reading, "rb", buffering=0)
        socket.send_fds(_server(), [json.dumps(order).encode() + b"\n"], [*files, writing])
        os.close(writing)
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]
        self.pid = int(self._report.readline())
        self._child_created = True


def run(arguments: Sequence[str], **named: Any) -> subprocess.CompletedProcess[str]:
    """Run to the end, and return what it said."""
    with Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **named) as it:
        said, complained = it.communicate(timeout=600)
    return subprocess.CompletedProcess(arguments, it.returncode, said, complained)


@cache
def _server() -> socket.socket:
    """Start the process that forks; it ends when this one does."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, __file__, str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            env={name: value for name, value in os.environ.items() if "PIXAZO" not in name},
        )
    atexit.register(process.wait)
    atexit.register(ours.close)
    return ours


def _import_all() -> None:
    package = importlib.import_module("langchain_qwen_image")
    for module in pkgutil.walk_packages(package.__path__, "langchain_qwen_image."):
        if "__main__" not in module.name and ".testing." not in module.name:
            importlib.import_module(module.name)
    for name in _IMPORTED_LATE:
        importlib.import_module(name)


def _next_order(control: socket.socket) -> dict[str, Any]:
    """Fork for each order that comes, and return it in the new process alone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    waiting = 0  # processes that each wait for the end of a program
    while True:
        message, files, *_ = socket.recv_fds(control, 1 << 20, 4)
        while waiting and os.waitpid(-1, os.WNOHANG)[0]:
            waiting -= 1
        while message and not message.endswith(b"\n"):
            message += control.recv(1 << 20)
        if not message:
            os._exit(0)
        if not os.fork():
            break
        waiting += 1
        for fd in files:
            os.close(fd)
    control.close()
    *files, report = files
    child = os.fork()
    if child:
        _report_end(child, files, report)
    os.close(report)
    for place, fd in enumerate(files):
        os.dup2(fd, place)
        os.close(fd)
    order: dict[str, Any] = json.loads(message)
    return order


def _report_end(child: int, files: list[int], report: int) -> NoReturn:
    for fd in files:
        os.close(fd)
    os.write(report, b"%d\n" % child)
    os.write(report, b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    os._exit(0)


def _look_new(order: dict[str, Any]) -> list[str]:
    """Become what a process is that was just started; return its arguments after Python's own."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # `nohup` may have had the tests ignore it
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["env"])
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
    sys.path[0:1] = ["", *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    arguments: list[str] = order["arguments"]
    if arguments[:2] == ["-W", "error"]:
        warnings.simplefilter("error")
        arguments = arguments[2:]
    return arguments


Popen = _Forked if sys.platform == "linux" else subprocess.Popen

if __name__ == "__main__":
    _import_all()
    gc.collect()
    gc.freeze()  # or a program that ends copies it all, to look for garbage: most of a second
    order = _next_order(socket.socket(fileno=int(sys.argv[1])))
    sys.argv[0], program, *sys.argv[1:] = _look_new(order)
    if sys.argv[0] == "-m":
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    else:
        sys.modules["warm"] = sys.modules["__main__"]
        sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(program, "<string>", "exec"), vars(sys.modules["__main__"]))
