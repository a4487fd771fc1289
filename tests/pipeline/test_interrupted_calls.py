"""Interrupts in blocking calls: nothing hangs, the next call works, and the books are equal."""

import sys
import threading
from pathlib import Path

import pytest
import warm

from langchain_qwen_image import QwenImageGenerator
from langchain_qwen_image.pipeline import assembly
from langchain_qwen_image.pipeline.pipeline import Pipeline

PROGRAM = """
import random, signal, sys, time
from collections import Counter
from langchain_qwen_image import Budget, QwenImageGenerator
from langchain_qwen_image.account.account import Account
from langchain_qwen_image.sandbox import SandboxServer, draw_plain

class Interrupt(BaseException):
    "What a signal handler raises, as that of Ctrl-C does."

def ring(*_):
    raise Interrupt

path, count = sys.argv[1], int(sys.argv[2])
chance = random.Random(7)
signal.signal(signal.SIGALRM, ring)
with SandboxServer(draw=draw_plain, latency_seconds=0.001) as gateway:
    budget = Budget.file(path, max_images=1_000_000)
    generator = QwenImageGenerator(
        api_key="test-key-0123456789", base_url=gateway.base_url, budget=budget
    )
    generator.invoke("a fox")
    interrupted = answered = 0
    longest = 0.012  # on a machine that is busy a call takes longer
    while interrupted < count:
        try:
            signal.setitimer(signal.ITIMER_REAL, chance.uniform(1e-5, longest))
            generator.invoke("a fox")
            signal.setitimer(signal.ITIMER_REAL, 0)
            answered += 1
        except Interrupt:
            interrupted += 1
            longest *= 1 if answered else 1.02
    generator.invoke("after all")
    end = time.monotonic() + 120
    while budget.reserved_usd and time.monotonic() < end:  # what goes on in the background
        time.sleep(0.05)
    generator.close()
    states = Counter(call.state for call in Account(path).calls())
    paid = states["answered"] + states["unknown"]
    print(gateway.gateway.post_count - budget.images, paid - budget.images, budget.reserved_usd)
    print(sorted(set(states) - {"answered", "unknown", "refused", "asked"}), answered > 0)
"""


@pytest.mark.parametrize(
    "count", [pytest.param(300, id="300"), pytest.param(20_000, id="20000", marks=pytest.mark.long)]
)
@pytest.mark.skipif(sys.platform == "win32", reason="there is no timer that signals")
def test_interrupts_at_any_moment(tmp_path: Path, count: int) -> None:
    """After hundreds of interrupts at any moment, what is paid is what the gateway counted."""
    ended = warm.run([sys.executable, "-c", PROGRAM, str(tmp_path / "books.db"), str(count)])
    assert ended.stdout.splitlines() == ["0 0 0", "[] True"], ended.stderr


def test_no_import_of_a_first_call_is_in_the_main_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A pipeline is put together where no interrupt can leave the lock of an import held."""
    threads: list[threading.Thread] = []
    assemble = assembly.assemble

    def noted(settings: QwenImageGenerator) -> Pipeline:
        threads.append(threading.current_thread())
        return assemble(settings)

    monkeypatch.setattr(assembly, "assemble", noted)
    assert QwenImageGenerator(sandbox=True).pipeline
    assert threads[0] is not threading.main_thread()
