"""Engines that repeat a task whose worker was killed: what is paid, without keys and with them."""

import os
import signal
from pathlib import Path
from typing import NamedTuple

import pytest
from engine_programs import PROMPTS, RUN, Celery, Engine, LangGraph, Ray, who_waits_for
from held import HeldServer
from leases import end_leases
from waiting import PATIENCE

from langchain_qwen_image import Account

PAGE = Path(__file__).parents[2] / "docs" / "many-machines.md"
ENGINES = {"Celery": Celery, "Ray Data": Ray, "LangGraph": LangGraph}


class Counted(NamedTuple):
    """Images that the gateway was asked for, and files in the folder."""

    paid: int
    saved: int


WITHOUT_KEYS = {"Celery": Counted(5, 4), "Ray Data": Counted(7, 6), "LangGraph": Counted(5, 4)}
"""Of 4 items, at both moments. Ray repeats the block, with two rows of it that were complete."""
WITH_KEYS = {"POST": Counted(4, 3), "GET": Counted(4, 4)}
"""By what was awaited: the answer to a POST is lost, and a paid image is downloaded later."""


def test_the_page_has_what_was_counted() -> None:
    """The numbers on the page are those that `make engines` holds."""
    rows = [line.strip("| ").split(" | ") for line in PAGE.read_text("utf-8").splitlines()]
    for name, counted in WITHOUT_KEYS.items():
        assert [row[2] for row in rows if row[0].startswith(name) and row[-1].isdigit()] == [
            str(counted.paid)
        ]
    for awaited, moment in {"POST": "the answer", "GET": "the download"}.items():
        paid, saved = WITH_KEYS[awaited]
        assert [moment, str(paid), str(saved), str(len(PROMPTS) - saved)] in rows


@pytest.mark.engines
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("keyed", [False, True], ids=["bare", "keyed"])
@pytest.mark.parametrize("awaited", ["POST", "GET"])
@pytest.mark.parametrize("name", ENGINES)
def test_worker_is_killed(
    name: str,
    awaited: str,
    keyed: bool,
    tmp_path: Path,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Killed while it waits for the third answer, or image: with keys each item is paid once."""
    engine: Engine = ENGINES[name]()
    pytest.importorskip(engine.needs)
    with HeldServer(1, after=2, method=awaited) as gateway:
        monkeypatch.setenv("QWEN_IMAGE_DATABASE", database_url)
        monkeypatch.setenv("PIXAZO_SANDBOX", "0")
        monkeypatch.setenv("PIXAZO_API_KEY", "test-key-of-the-engines")
        monkeypatch.setenv("PIXAZO_BASE_URL", gateway.base_url)
        account = Account(database_url)
        with engine.run(tmp_path, keyed):
            assert gateway.is_holding.wait(4 * PATIENCE)  # Ray may take a minute to start
            engine.before_kill(tmp_path)
            end_leases(account)  # or the next attempt waits for this one for 4 minutes
            os.kill(who_waits_for(gateway.port), signal.SIGKILL)
            gateway.release()
            engine.after_kill(tmp_path)
        counted = Counted(gateway.gateway.post_count, len(list(tmp_path.glob("images/*.png"))))
    assert counted == (WITH_KEYS[awaited] if keyed else WITHOUT_KEYS[name])
    if keyed:
        progress = account.progress(RUN)
        assert (progress.saved, progress.unknown) == (counted.saved, len(PROMPTS) - counted.saved)
