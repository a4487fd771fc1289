"""The interpreter ends while calls are out: what is paid for is saved, and nothing else is said."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import warm
from held import HeldServer
from waiting import press_ctrl_c, wait_until, wait_until_asleep

PROGRAM = """
import asyncio, sys, threading, time
from langchain_qwen_image import QwenImageGenerator

folder, url, kind = sys.argv[1:]
generator = QwenImageGenerator(
    api_key="test-key-0123456789", base_url=url, save_to=folder, size="512*512"
)

def call():
    if kind == "sync":
        result = generator.invoke("a fox")
    else:
        result = asyncio.run(generator.ainvoke("a fox"))
    print(result.image.path is not None, flush=True)

def tell():
    while threading.main_thread().is_alive():
        time.sleep(0.01)
    print("ending", flush=True)

threading.Thread(target=call).start()
threading.Thread(target=tell).start()
sys.stdin.readline()
"""


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_threads_that_call_while_the_interpreter_ends(tmp_path: Path, kind: str) -> None:
    """A thread that got its answer late saves the image, without help of a thread that is gone."""
    with HeldServer() as gateway:
        program = [sys.executable, "-c", PROGRAM, str(tmp_path), gateway.base_url, kind]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with warm.Popen(program, text=True, **pipes) as process:
            wait_until(lambda: gateway.gateway.post_count)
            process.stdin.write("end\n")
            process.stdin.flush()
            assert process.stdout.readline() == "ending\n"
            gateway.release()
            assert process.communicate() == ("True\n", "")
    assert len(list(tmp_path.glob("*.png"))) == 1


INTERRUPTED = """
import atexit, sys
from langchain_qwen_image import QwenImageGenerator

folder, url = sys.argv[1:]
atexit.register(print, "ending", flush=True)
generator = QwenImageGenerator(
    api_key="test-key-0123456789", base_url=url, save_to=folder, size="512*512"
)
try:
    generator.invoke("a fox")
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def test_an_interrupted_call_is_waited_for_at_exit(tmp_path: Path) -> None:
    """Ctrl-C ends the wait at once; the interpreter ends when the paid image is saved."""
    with HeldServer() as gateway:
        program = [sys.executable, "-c", INTERRUPTED, str(tmp_path), gateway.base_url]
        with warm.Popen(program, text=True, stdout=subprocess.PIPE) as process:
            wait_until(lambda: gateway.gateway.post_count)
            process.send_signal(signal.SIGINT)
            assert [process.stdout.readline() for _ in range(2)] == ["interrupted\n", "ending\n"]
            assert process.poll() is None
            gateway.release()
            assert process.wait() == 0
    assert len(list(tmp_path.glob("*.png"))) == 1


def test_a_second_interrupt_ends_the_interpreter(tmp_path: Path) -> None:
    """A second Ctrl-C ends it, without the image."""
    with HeldServer() as gateway:
        program = [sys.executable, "-c", INTERRUPTED, str(tmp_path), gateway.base_url]
        with warm.Popen(program, text=True, stdout=subprocess.PIPE) as process:
            wait_until(lambda: gateway.gateway.post_count)
            process.send_signal(signal.SIGINT)
            assert [process.stdout.readline() for _ in range(2)] == ["interrupted\n", "ending\n"]
            wait_until_asleep(process)  # a signal between two functions of atexit is dropped
            press_ctrl_c(process)
            process.wait()
    assert list(tmp_path.glob("*.png")) == []
