"""The system's Chromium: which one it is, how it is started, and what is seen in it."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from waiting import PATIENCE

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_CHROMIUM = next(filter(None, map(shutil.which, _NAMES)), None)
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_SCREENSHOTS = Path(__file__).parents[1] / "build" / "screenshots"
SEEN = "[...document.images].some(i => i.complete && i.naturalWidth >= 512 && i.offsetWidth > 99)"
"""Whether an image of ours is drawn; the hosts' own are smaller, or avatars."""

needs_chromium = pytest.mark.skipif(
    _CHROMIUM is None, reason=f"none of {', '.join(_NAMES)} is installed"
)


@contextmanager
def chromium() -> Iterator[Any]:
    """Start Chromium; one module alone may run while it does, its driver has a loop."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=_CHROMIUM, args=_FLAGS)
        yield running
        running.close()


@contextmanager
def page_at(browser: Any, url: str) -> Iterator[Any]:
    """Open a page that asks nothing of the network."""
    context = browser.new_context(viewport={"width": 900, "height": 1100})
    context.set_default_timeout(1000 * PATIENCE)
    context.route(re.compile(r"^https?://(?!localhost[:/])"), lambda route: route.abort())
    page = context.new_page()
    page.goto(url)
    yield page
    context.close()


def see(page: Any, words: str) -> None:
    """Wait until words are seen, the last time that they are there."""
    page.get_by_text(words).locator("visible=true").last.wait_for()


def keep(page: Any, name: str) -> None:
    """Put what is seen into a file, for a person to look at."""
    _SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=_SCREENSHOTS / f"{name}.png")
