"""Results as HTML, grids of them, and the line that counts the seconds."""

import re
import sys
from base64 import b64decode
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any
from zlib import crc32

import pytest
from conftest import Call
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.stores import InMemoryByteStore
from PIL import Image
from waiting import wait_until

from langchain_qwen_image import GeneratedImage, ImageGenerationResult, QwenImageGenerator
from langchain_qwen_image.notebook import show
from langchain_qwen_image.rendering import spinner as _waiting
from langchain_qwen_image.rendering.thumbnail import thumbnail
from langchain_qwen_image.sandbox import SandboxServer, draw_plain
from langchain_qwen_image.schemas import ImageParameters

LINK = "https://oss.example/a.png?Expires=1&Signature=s%2B"
TAGS = {"figure", "img", "figcaption", "span", "div"}
PIXEL = draw_plain("a", size=(8, 8), watermark=False, seed_text="a")


class _Page(HTMLParser):
    """What a browser would see: elements with their attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    @property
    def images(self) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag == "img"]


def _page(shown: Any) -> _Page:
    return _Page(shown._repr_html_())


def _result(prompt: str = "a fox", *images: GeneratedImage, **facts: Any) -> ImageGenerationResult:
    shown = list(images) or [GeneratedImage(url=LINK, width=512, height=512)]
    facts = {"parameters": ImageParameters(), "cost_usd": 0.045} | facts
    return ImageGenerationResult(images=shown, prompt=prompt, **facts)


def _embedded(page: _Page) -> list[Image.Image]:
    """Return the images that are in the page itself."""
    sources = [str(image["src"]) for image in page.images]
    assert all(source.startswith("data:image/") for source in sources)
    return [Image.open(BytesIO(b64decode(source.partition(",")[2]))) for source in sources]


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, dict[str, Any]]]:
    """Make this look like a notebook's kernel, and return what is displayed."""
    displayed: list[tuple[Any, dict[str, Any]]] = []
    display = SimpleNamespace(display=lambda what, **how: displayed.append((what, how)))
    ipython = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=1), display=display)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    return displayed


@pytest.fixture
def without_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make Pillow look as if it were not installed."""
    monkeypatch.setitem(sys.modules, "PIL", None)


def test_saved_image_is_shown_from_its_file(server: SandboxServer, tmp_path: Path) -> None:
    """A saved image is in the page, scaled to 512 pixels, and nothing is fetched for it."""
    generator = QwenImageGenerator(base_url=server.base_url, api_key="k", save_to=tmp_path)
    result = generator.invoke("a fox")
    before = len(server.requests)
    (image,) = _embedded(_page(result))
    assert image.size == (512, 512)
    assert len(server.requests) == before


def test_image_in_a_store_is_shown(server: SandboxServer) -> None:
    """An image that is saved in a ByteStore is shown from there."""
    generator = QwenImageGenerator(
        base_url=server.base_url, api_key="k", save_to=InMemoryByteStore(), size="512*512"
    )
    assert len(_embedded(_page(generator.invoke("a fox")))) == 1


def test_link_is_left_to_the_browser(server: SandboxServer) -> None:
    """An image that is only a link is fetched by the browser, never by Python."""
    result = QwenImageGenerator(base_url=server.base_url, api_key="k").invoke("a fox")
    page = _page(result)
    assert [image["src"] for image in page.images] == [result.image.url]
    assert "not saved; the link is valid until 20" in page.text
    assert [request.method for request in server.requests] == ["POST"]


def test_image_that_was_read_in_a_notebook_is_shown(
    server: SandboxServer, kernel: list[Any], call: Call
) -> None:
    """What was read once in a notebook is remembered small, and shown without its link."""
    result = QwenImageGenerator(base_url=server.base_url, api_key="k").invoke("a fox")
    call(result.image, "read")
    (image,) = _embedded(_page(result))
    assert image.size == (512, 512)
    assert "Signature" not in result._repr_html_()


def test_image_that_was_read_elsewhere_is_not_remembered(server: SandboxServer) -> None:
    """Outside a notebook, reading holds no bytes in memory."""
    result = QwenImageGenerator(base_url=server.base_url, api_key="k").invoke("a fox")
    result.image.read()
    assert result.image.cached_bytes() is None


def test_sandbox_image_is_drawn() -> None:
    """The sandbox's images are drawn at once: their links lead to no server."""
    result = QwenImageGenerator(sandbox=True, size="512*512").invoke("a fox")
    before = result.model_copy(deep=True)
    assert _embedded(_page(result))[0].size == (512, 512)
    assert result == before, "showing a result does not change it"


def test_inline_image_is_shown(server: SandboxServer) -> None:
    """An image that came inside the answer is shown."""
    result = QwenImageGenerator(base_url=server.base_url, api_key="k").invoke("sandbox:data-uri")
    assert len(_embedded(_page(result))) == 1


@pytest.mark.parametrize(
    ("image", "said"),
    [
        pytest.param(
            GeneratedImage(url=LINK, expires_at=datetime(2020, 1, 2, 3, 4, tzinfo=UTC)),
            "the link expired at 2020-01-02 03:04 UTC",
            id="expired link",
        ),
        pytest.param(GeneratedImage(), "not saved", id="no link"),
        pytest.param(GeneratedImage(url="javascript:alert(1)"), "not saved", id="another scheme"),
        pytest.param(GeneratedImage(url="data:text/html,<b>"), "not saved", id="no image"),
        pytest.param(GeneratedImage(path="gone.png"), "gone.png", id="file gone"),
        pytest.param(GeneratedImage(path="\0"), "\0", id="no path"),
    ],
)
def test_what_cannot_be_shown_is_said(image: GeneratedImage, said: str) -> None:
    """Without an image the cell still ends well, and says where things are."""
    page = _page(image)
    assert page.images == []
    assert said.replace("\0", "\ufffd") in page.text.replace("\0", "\ufffd")


def test_file_that_is_no_image_is_not_embedded(tmp_path: Path, without_pillow: None) -> None:
    """Of a path only an image's bytes get into the page, with Pillow and without."""
    (tmp_path / "notes.png").write_text("my diary")
    image = GeneratedImage(path=str(tmp_path / "notes.png"))
    assert _page(image).images == []
    sys.modules.pop("PIL")
    assert _page(image).images == []


def test_file_that_is_gone_leaves_the_link() -> None:
    """When the saved file is gone, the browser may still have the link."""
    image = GeneratedImage(
        path="gone.png", url=LINK, expires_at=datetime.now(UTC) + timedelta(hours=1)
    )
    assert [one["src"] for one in _page(image).images] == [LINK]


@pytest.mark.parametrize(
    ("extra_bytes", "images"),
    [pytest.param(0, 1, id="small"), pytest.param(4 * 2**20, 0, id="larger than 4 MiB")],
)
def test_without_pillow_an_original_is_shown_up_to_a_size(
    extra_bytes: int, images: int, tmp_path: Path, without_pillow: None
) -> None:
    """Without Pillow the original is in the page, unless it would swell the notebook."""
    (tmp_path / "a.png").write_bytes(PIXEL + bytes(extra_bytes))
    page = _page(GeneratedImage(path=str(tmp_path / "a.png"), width=8, height=8))
    assert len(page.images) == images
    assert "8×8" in page.text


def test_without_pillow_reading_remembers_the_original(
    server: SandboxServer, kernel: list[Any], without_pillow: None
) -> None:
    """Without Pillow a notebook remembers what was read as it is."""
    result = QwenImageGenerator(base_url=server.base_url, api_key="k").invoke("a fox")
    assert result.image.read() == result.image.cached_bytes()


def test_line_says_prompt_size_cost_and_path(tmp_path: Path, monkeypatch: Any) -> None:
    """One line below the image: prompt, size, cost, and the path from the working folder."""
    monkeypatch.chdir(tmp_path)
    image = GeneratedImage(path=str(tmp_path / "images" / "a.png"), width=512, height=512)
    assert _page(_result("a fox", image)).text == "a fox · 512×512 · $0.045 · images/a.png"


def test_path_elsewhere_is_whole() -> None:
    """A path that does not lead through the working folder is shown whole."""
    assert _page(GeneratedImage(path="/srv/a.png")).text == "size unknown · /srv/a.png"


def test_sandbox_says_that_nothing_was_paid() -> None:
    """A placeholder is never taken for a paid image."""
    assert "sandbox, nothing paid" in _page(_result(sandbox=True, cost_usd=0)).text


def test_long_prompt_is_cut_and_there_as_a_title() -> None:
    """A long prompt takes one line, and can be read whole by pointing at it."""
    prompt = "a fox\n" * 200
    page = _page(_result(prompt))
    assert len(page.text) < 200
    assert ("title", prompt) in [
        item for _, attributes in page.elements for item in attributes.items()
    ]
    assert len(str(page.images[0]["alt"])) <= 300


@given(st.text(max_size=400))
def test_no_prompt_becomes_html(prompt: str) -> None:
    """Whatever a prompt says, the page has our elements only, and no handler of an event."""
    page = _page(_result(prompt or "x", GeneratedImage(url=LINK, path=prompt)))
    assert {tag for tag, _ in page.elements} <= TAGS
    names = {name for _, attributes in page.elements for name in attributes}
    assert names <= {"style", "title", "src", "alt"}


@pytest.mark.parametrize(
    "prompt",
    [
        pytest.param("<script>alert(1)</script>", id="element"),
        pytest.param('" onerror="alert(1)', id="double quote"),
        pytest.param("' onerror='alert(1)", id="single quote"),
        pytest.param("</figcaption><img src=x>", id="end tag"),
        pytest.param("&lt;b&gt;", id="entity"),
    ],
)
def test_prompt_is_shown_as_it_is_written(prompt: str) -> None:
    """A prompt that looks like HTML is read as text, below the image and in its place."""
    page = _page(_result(prompt))
    assert prompt in page.text
    assert page.images[0]["alt"] == prompt
    assert set(page.images[0]) == {"src", "alt", "style"}


def test_warnings_are_shown_below_as_text() -> None:
    """What was unusual about an answer is below the image, as text, and never without end."""
    warnings = ["The answer names 2 images.", "<b>bold</b>", "x" * 1000, *["more"] * 50]
    page = _page(_result("a fox", warnings=warnings))
    assert "⚠ The answer names 2 images." in page.text
    assert "⚠ <b>bold</b>" in page.text
    assert page.text.count("⚠") == 5
    assert len(page.text) < 600
    assert {tag for tag, _ in page.elements} <= TAGS
    assert "⚠" not in _page(_result("a fox")).text


def test_styles_have_no_colours() -> None:
    """Light and dark themes keep their own colours."""
    html = _result()._repr_html_()
    assert "color" not in html
    assert "background" not in html
    assert "<style" not in html


def test_result_of_two_images_is_a_grid() -> None:
    """Several images of one result are side by side, with one line below."""
    page = _page(_result("a fox", GeneratedImage(url=LINK), GeneratedImage(url=LINK)))
    assert len(page.images) == 2
    assert any("grid" in str(attributes.get("style")) for _, attributes in page.elements)
    assert page.text.count("a fox") == 1


@pytest.mark.parametrize(
    ("results", "images"),
    [
        pytest.param(_result(), 1, id="one result"),
        pytest.param(GeneratedImage(url=LINK), 1, id="one image"),
        pytest.param([_result(), _result()], 2, id="list"),
        pytest.param((result for result in [_result()]), 1, id="generator"),
        pytest.param({"day": _result(), "night": _result()}, 2, id="parallel branches"),
        pytest.param([_result(), ValueError("<b>bad</b>")], 1, id="an error among them"),
        pytest.param([], 0, id="none"),
    ],
)
def test_show_displays_a_grid(results: Any, images: int, kernel: list[Any]) -> None:
    """`show` takes what a batch or parallel branches give, and displays it in one grid."""
    assert show(results) is None
    ((grid, _),) = kernel
    page = _page(grid)
    assert len(page.images) == images
    assert "grid" in str(page.elements[0][1]["style"])
    assert {tag for tag, _ in page.elements} <= TAGS


@pytest.mark.parametrize("ipython", [None, SimpleNamespace(get_ipython=lambda: None)])
def test_show_prints_lines_elsewhere(
    ipython: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Outside a notebook `show` prints a line for each, and no link."""
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    saved = GeneratedImage(id="k3v9q2xd", path="a.png", width=512, height=512)
    show([saved, _result(), ValueError("bad")])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "image k3v9q2xd: 512×512, a.png"
    assert lines[1].endswith(": 512×512, not saved")
    assert lines[2] == "ValueError: bad"
    assert LINK not in "".join(lines)


def test_show_adds_to_the_cell_of_marimo(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a cell of marimo the grid is added to its output; elsewhere marimo changes nothing."""
    added: list[Any] = []
    marimo = SimpleNamespace(
        running_in_notebook=lambda: True, output=SimpleNamespace(append=added.append)
    )
    monkeypatch.setitem(sys.modules, "marimo", marimo)
    show([_result(), ValueError("bad")])
    (grid,) = added
    assert len(_page(grid).images) == 1
    marimo.running_in_notebook = lambda: False
    show([_result()])
    assert len(added) == 1


def test_show_of_nothing_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """An empty list is not an empty line."""
    show([])
    assert capsys.readouterr().out == "no images\n"


@pytest.mark.parametrize(
    ("mode", "mime_type"),
    [
        pytest.param("RGB", "image/jpeg", id="opaque"),
        pytest.param("L", "image/jpeg", id="grey"),
        pytest.param("P", "image/jpeg", id="palette"),
        pytest.param("RGBA", "image/png", id="transparent"),
    ],
)
def test_scaling_keeps_proportions_and_transparency(mode: str, mime_type: str) -> None:
    """The longest side is cut to the limit; only a transparent image stays a PNG."""
    original = BytesIO()
    Image.new(mode, (300, 150)).save(original, "PNG")
    small, given_type = thumbnail(original.getvalue(), max_side=100)
    with Image.open(BytesIO(small)) as image:
        assert image.size == (100, 50)
        assert image.get_format_mimetype() == given_type == mime_type


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"GIF89a" + bytes(20), id="another format"),
        pytest.param(PIXEL[:45], id="cut short"),
        pytest.param(PIXEL[:16] + b"\0\0\xff\xff\0\0\xff\xff" + PIXEL[24:], id="a bomb"),
    ],
)
def test_scaling_refuses_what_is_no_good_image(image: bytes) -> None:
    """Damaged images, other formats and decompression bombs are a ValueError."""
    with pytest.raises(ValueError, match=r"not an image|too large"):
        thumbnail(image, max_side=100)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [5_000, 10_000, 20_000])
def test_scaling_believes_no_second_header(side: int) -> None:
    """A PNG whose second header claims more pixels than its first is refused unopened."""
    body = b"IHDR" + side.to_bytes(4) * 2 + PIXEL[24:29]
    second = (13).to_bytes(4) + body + crc32(body).to_bytes(4)
    with pytest.raises(ValueError, match="too large"):
        thumbnail(PIXEL[:33] + second + PIXEL[33:], max_side=100)


def test_scaling_refuses_more_than_it_can_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """An image over the limit of pixels is refused before it is decoded."""
    monkeypatch.setattr("langchain_qwen_image.rendering.thumbnail.MAX_PIXELS", 63)
    with pytest.raises(ValueError, match="8×8 is too large"):
        thumbnail(PIXEL, max_side=100)


def test_line_counts_while_a_call_waits(
    kernel: list[tuple[Any, dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a notebook one line is shown, then updated in its place, and ends with the time taken."""
    monkeypatch.setattr(_waiting, "_TICK_SECONDS", 0.001)
    with _waiting.waiting():
        wait_until(lambda: len(kernel) >= 2)
    texts = [what["text/plain"] for what, _ in kernel]
    assert re.fullmatch(r"Qwen-Image: waiting for the image, \d+ s", texts[0])
    assert re.fullmatch(r"Qwen-Image: 1 call, \d+ s", texts[-1])
    assert [how["update"] for _, how in kernel] == [False] + [True] * (len(kernel) - 1)
    assert len({how["display_id"] for _, how in kernel}) == 1


def test_calls_at_the_same_time_share_a_line(
    kernel: list[tuple[Any, dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch is one line that counts the calls, also when one of them fails."""
    monkeypatch.setattr(_waiting, "_TICK_SECONDS", 0.001)

    def fail() -> None:
        with pytest.raises(ValueError, match="bad"), _waiting.waiting():
            raise ValueError("bad")

    with _waiting.waiting():
        other = Thread(target=fail)
        other.start()
        other.join()
        wait_until(lambda: any("1 of 2 calls" in what["text/plain"] for what, _ in kernel))
    assert re.fullmatch(r"Qwen-Image: 2 calls, \d+ s", kernel[-1][0]["text/plain"])
    assert len({how["display_id"] for _, how in kernel}) == 1


def test_call_that_is_answered_at_once_shows_no_line(
    server: SandboxServer, kernel: list[Any], call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is displayed for a call that takes less than a second."""
    assert _waiting._TICK_SECONDS == 1
    monkeypatch.setattr(_waiting, "_TICK_SECONDS", 600)
    generator = QwenImageGenerator(base_url=server.base_url, api_key="k", size="512*512")
    call(generator, "invoke", "a fox")
    assert kernel == []


@pytest.mark.parametrize(
    "ipython",
    [
        pytest.param(None, id="no IPython"),
        pytest.param(SimpleNamespace(get_ipython=lambda: None), id="imported only"),
        pytest.param(SimpleNamespace(get_ipython=lambda: object()), id="in a terminal"),
    ],
)
def test_no_line_outside_a_notebook(ipython: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere there is no line, and no thread for it."""
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setattr(_waiting, "_Wait", None)
    with _waiting.waiting():
        pass
