"""A call that is killed between any two of its steps: what the books say afterwards."""

import json
import signal
import sys
import time
from pathlib import Path

import pytest
import warm
from accounts import Clock
from books import books

from langchain_qwen_image import Budget
from langchain_qwen_image.account.account import Account
from langchain_qwen_image.recovery import recover
from langchain_qwen_image.sandbox import SandboxServer

# Each is a place in the code where the process dies: `die` is called instead of what is named.
_STEPS = {
    "asked, nothing sent": "Account.sent = die",
    "noted as sent, not left": "GatewayConnection.post = die",
    "at the gateway, answer not read": "sender.parse_response = die",
    "answered, not noted": "Account.answered = die",
    "answered, nothing fetched": "ImageSaver.save = die",
    "half fetched": "Fetcher.fetch = half",
    "fetched, nothing named": "folder_module.publish = die",
    "sidecar named, image not": "folder_module.publish = second(folder_module.publish)",
    "image named, not noted": "Account.saved = die",
    "saved": "Pipeline.generate = after(Pipeline.generate)",
}
# state in the account, POSTs, images on disk
_BOOKS = {
    "asked, nothing sent": ("asked", 0, 0),
    "noted as sent, not left": ("sent", 0, 0),
    "at the gateway, answer not read": ("sent", 1, 0),
    "answered, not noted": ("sent", 1, 0),
    "answered, nothing fetched": ("answered", 1, 0),
    "half fetched": ("answered", 1, 0),
    "fetched, nothing named": ("answered", 1, 0),
    "sidecar named, image not": ("answered", 1, 0),
    "image named, not noted": ("answered", 1, 1),
    "saved": ("saved", 1, 1),
}

_PROGRAM = """
import os, signal, sys
from langchain_qwen_image import Budget, QwenImageGenerator
from pathlib import Path
from langchain_qwen_image.account.places import own_file
from langchain_qwen_image.pipeline import sender
from langchain_qwen_image.storage import folder as folder_module
from langchain_qwen_image.transport.gateway import GatewayConnection
from langchain_qwen_image.download.fetcher import Fetcher
from langchain_qwen_image.pipeline.saver import ImageSaver
from langchain_qwen_image.account.account import Account
from langchain_qwen_image.pipeline.pipeline import Pipeline

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def half(self, url, into):
    into.write(b"\\x89PNG\\r\\n\\x1a\\n" + bytes(100))
    into.flush()
    die()

def second(real):
    calls = []
    def publish(*arguments):
        calls.append(1)
        return die() if len(calls) == 2 else real(*arguments)
    return publish

def after(real):
    def generate(*arguments, **named):
        real(*arguments, **named)
        die()
    return generate

base_url, folder = sys.argv[1:3]
budget = Budget.file(own_file(Path(folder)), max_images=1)
generator = QwenImageGenerator(
    base_url=base_url, api_key="test-key-0123456789", save_to=folder, budget=budget
)
generator.pipeline
{patch}
generator.invoke("a red fox")
"""


@pytest.mark.parametrize("step", _STEPS)
def test_killed(step: str, server: SandboxServer, tmp_path: Path, clock: Clock) -> None:
    """Whatever the moment, the books are right, and what was paid for can be had again free.

    A call that was sent counts as under way while its lease lasts, and as unknown afterwards.
    """
    program = _PROGRAM.replace("{patch}", _STEPS[step])
    run = warm.run([sys.executable, "-c", program, server.base_url, str(tmp_path)])
    assert run.returncode == -signal.SIGKILL, run.stderr
    state, posts, pictures = _BOOKS[step]

    clock.micros = time.time_ns() // 1000
    account = Account(books(tmp_path))
    [call] = account.calls()
    assert call.state == state
    assert server.gateway.post_count == posts
    assert len(_pictures(tmp_path)) == pictures
    assert all(_record(file)["size_bytes"] == file.stat().st_size for file in _pictures(tmp_path))
    budget = Budget.file(books(tmp_path), max_images=1)
    is_free = state == "asked"
    assert budget.remaining_images == is_free, "what may have been paid for counts as spent"

    if state == "sent":
        assert _outcomes(tmp_path, server) == ["running"]
        assert [one.state for one in account.calls()] == ["sent"]
        clock.move(call.lease_seconds or 0)
    outcomes = _outcomes(tmp_path, server)
    [call] = account.calls()
    if state in {"answered", "saved"}:
        assert call.state == "saved"
        [file] = _pictures(tmp_path)
        assert _record(file)["prompt"] == "a red fox"
        assert call.images[0].path == str(file)
        assert "?" not in str(call.images[0].url)
    elif state == "sent":
        assert (call.state, outcomes) == ("unknown", ["unanswered"])
        assert budget.remaining_images == 0
    assert server.gateway.post_count == posts
    account.close()


def _outcomes(folder: Path, server: SandboxServer) -> list[str]:
    return [finding.outcome for finding in recover(folder, base_url=server.base_url)]


def _pictures(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.png"))


def _record(picture: Path) -> dict[str, object]:
    record: dict[str, object] = json.loads(picture.with_suffix(".json").read_text("utf-8"))
    return record
