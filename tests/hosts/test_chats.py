"""The chats of the examples in a browser: a wait, an image, errors and money are seen."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from browsers import SEEN, chromium, keep, needs_chromium, page_at, see
from held import HeldServer
from hosted import EXAMPLES, environment, reachable, running
from loopback import free_port

pytestmark = [pytest.mark.hosts, needs_chromium]

KEY = "test-key-of-the-chats"


@dataclass(frozen=True)
class Chat:
    """How a chat is started, where one writes, and what sends it; `{…}` is filled in."""

    command: str
    box: str
    button: str
    path: str = "/"


CHATS = {
    "gradio": Chat(
        "python {examples}/chat_gradio.py --live --port {port}", "textarea", ".submit-button"
    ),
    "streamlit": Chat(
        "streamlit run --server.port {port} {examples}/chat_streamlit.py -- --live",
        "textarea",
        "[data-testid=stChatInputSubmitButton]",
    ),
    "chainlit": Chat(
        "python {examples}/chat_chainlit.py --live --port {port}",
        "#chat-input",
        "#chat-submit",
        "/chat",
    ),
    "fastapi": Chat("python {examples}/serve_fastapi.py --live --port {port}", "input", "button"),
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Start Chromium once."""
    with chromium() as opened:
        yield opened


def send(page: Any, chat: Chat, text: str) -> None:
    """Write a message, and send it as soon as the page takes one."""
    field = page.locator(chat.box).first
    field.click()
    field.press_sequentially(text)
    page.locator(chat.button).first.click()


def private(folder: Path, url: str) -> list[str]:
    """Return the addresses at which hosts could serve what is beside the images."""
    files = [*folder.glob("images/*.json"), *folder.glob("images.books/*")]
    assert len(files) >= 2
    return [
        f"{url}{place}"
        for file in files
        for place in (
            f"/{file.parent.name}/{file.name}",
            f"/images/../{file.parent.name}/{file.name}",
            f"/images/..%2F{file.parent.name}%2F{file.name}",
            f"/file={quote(str(file))}",
            f"/gradio_api/file={quote(str(file))}",
            f"/public/{file.parent.name}/{file.name}",
            f"/media/{file.name}",
        )
    ]


@pytest.mark.parametrize("host", CHATS)
def test_chat(host: str, browser: Any, tmp_path: Path) -> None:
    """The wait is seen while it lasts; then the image, its price, errors, and what was spent."""
    chat, port = CHATS[host], free_port()
    url = f"http://localhost:{port}"
    command = chat.command.format(examples=EXAMPLES, port=port).split()
    with HeldServer(draw=None) as server:
        given = {"PIXAZO_API_KEY": KEY, "PIXAZO_BASE_URL": server.base_url}
        with (
            running(environment(host), command, tmp_path, url, **given) as printed,
            page_at(browser, url + chat.path) as page,
        ):
            send(page, chat, "a red fox")
            see(page, "Image: generating")
            assert not page.evaluate(SEEN)
            keep(page, f"{host}-wait")
            server.release()
            page.wait_for_function(SEEN)
            see(page, "a red fox — $0.045")
            see(page, "$0.045 of $1 spent")
            assert not page.get_by_text("Image: generating").locator("visible=true").count()
            keep(page, f"{host}-image")

            send(page, chat, "sandbox:quota a hare")
            see(page, "Out of credits, quota or balance")
            see(page, "There is no image.")
            send(page, chat, "sandbox:500 an owl")
            see(page, "$0.090 of $1 spent")  # it may have been billed
            keep(page, f"{host}-error")

            assert server.gateway.post_count == 3
            assert KEY not in page.content()
            assert KEY.encode() not in printed.read_bytes()
            assert reachable(private(tmp_path, url), "a red fox") == []
