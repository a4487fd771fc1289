"""The site in a browser: what its copy buttons copy, what its search finds, a phone's width."""

from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from browsers import chromium, needs_chromium
from pages import ROOT, blocks_of
from thinned import thinned
from waiting import PATIENCE

_PAGES = sorted(file.stem for file in (ROOT / "docs").glob("*.md"))
_OTHERS = [page for page in _PAGES if page != "index"]

pytestmark = [pytest.mark.long, needs_chromium]


class _Quiet(SimpleHTTPRequestHandler):
    """Serve the site; the search and the clipboard need a server."""

    def log_message(self, *args: Any) -> None:
        """Print nothing."""


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """Serve the site on loopback."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=site)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Start Chromium once."""
    with chromium() as running:
        yield running


def _open(browser: Any, address: str, **context: Any) -> Any:
    page = browser.new_context(**context).new_page()
    page.set_default_timeout(PATIENCE * 1000)
    page.goto(address)
    return page


def _commands(console: str) -> str:
    """Return what is to be typed: the lines after a prompt, and those that continue one."""
    typed, continues = [], False
    for line in console.splitlines():
        if line.startswith("$ ") or continues:
            typed.append(line.removeprefix("$ "))
            continues = line.endswith("\\")
    return "\n".join(typed)


@pytest.mark.parametrize("name", thinned(_PAGES, quick=2))
def test_copy_buttons_copy_what_is_to_be_typed(browser: Any, address: str, name: str) -> None:
    """A command is copied without prompt and output, code as it is; an output has no button."""
    page = _open(
        browser, f"{address}{name}.html", permissions=["clipboard-read", "clipboard-write"]
    )
    text = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    blocks = list(blocks_of(text))
    shown = page.query_selector_all("article .highlight")
    assert len(shown) == len(blocks)
    for element, block in zip(shown, blocks, strict=True):
        button = element.wait_for_selector("button", state="attached")
        if block.language == "text":
            assert not button.is_visible()
            continue
        expected = _commands(block.text) if block.language == "console" else block.text.rstrip()
        page.evaluate("navigator.clipboard.writeText('')")
        button.evaluate("button => button.click()")
        copied = page.evaluate(_CLIPBOARD)
        assert [line for line in copied.splitlines() if line] == [
            line for line in expected.splitlines() if line
        ]


_CLIPBOARD = """async () => {
    for (;;) {
        const text = await navigator.clipboard.readText();
        if (text) return text;
        await new Promise(resolve => setTimeout(resolve, 20));
    }
}"""


@pytest.mark.parametrize(
    ("query", "found"),
    thinned(
        [
            ("api key", "index.html#api-key-and-price"),
            ("PIXAZO_API_KEY", "index.html#api-key-and-price"),
            ("price", "index.html#api-key-and-price"),
            ("return_direct", "agents.html#a-model-shortens-or-changes-the-link"),
            ("front end", "agents.html#show-images-in-a-front-end"),
            ("base64 context", "agents.html#base64-in-the-context"),
            (
                "images in tool messages",
                "agents.html#images-in-tool-messages-let-the-model-see-its",
            ),
            ("read_file", "agents.html#deepagents-and-read_file"),
            ("summarization", "agents.html#summarization-middleware-drops-artifacts"),
            ("strict azure", "agents.html#strict-tools-openai-and-azure"),
            ("AgentExecutor", "agents.html#agentexecutor-no-tool-call-ids"),
            ("timeout LangGraph Platform", "agents.html#timeouts-on-langgraph-platform"),
        ],
        quick=2,
    ),
)
def test_search_finds_what_people_ask(browser: Any, address: str, query: str, found: str) -> None:
    """A question that people ask about image tools is answered by the search."""
    page = _open(browser, f"{address}index.html?q={quote(query)}")
    page.wait_for_selector(".md-search-result__item a", state="attached")
    links = page.eval_on_selector_all(".md-search-result__item a", "all => all.map(a => a.href)")
    parts = [urlsplit(link) for link in links]
    assert any(f"{part.path.lstrip('/')}#{part.fragment}".startswith(found) for part in parts)


@pytest.mark.parametrize(
    "name", thinned(["index", "reference/settings", "reference/errors", *_OTHERS], quick=2)
)
def test_a_phone_shows_pages_without_scrolling_sideways(
    browser: Any, address: str, name: str
) -> None:
    """At a width of 390 pixels only blocks of code and tables scroll, not the page."""
    page = _open(browser, f"{address}{name}.html", viewport={"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_pages_ask_no_other_host(browser: Any, address: str) -> None:
    """Scripts that a page runs ask nobody else either, such as a repository's host for stars."""
    page = browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{address}index.html", wait_until="networkidle")
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []
    assert asked
