"""The placeholder images and their lettering, with and without fonts on the machine."""

import hashlib
import importlib
import io
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFont, features

from langchain_qwen_image.sandbox import (
    SANDBOX_BASE_URL,
    Draw,
    SandboxTransport,
    draw_plain,
    drawing,
    lettering,
)
from langchain_qwen_image.sandbox.drawing import draw
from langchain_qwen_image.sandbox.links import ImageFormat
from langchain_qwen_image.sandbox.plain import draw_sunset
from langchain_qwen_image.sandbox.scenes import PALETTES, SCENES, paint_scene

SIDES = (1328, 1024, 768, 512)
PATH = "/qwen-image/v1/generateMultimodeTextToImageRequest"
PROMPTS = {
    "short": "A teapot",
    "long": "An elegant couplet hangs in a quiet hall. " * 50,
    "one-word": "x" * 2000,
    "chinese": "水墨画,远山,一叶扁舟。" * 10,
    "emoji": "robot 😀🚀 ❤️ 👩‍💻",
    "arabic": "مرحبا بالعالم، قطة",
    "lines": "one\n\ttwo\r\n\x00three",
    "invisible": "\u200b\u200d",
    "unassigned": "\U000e0fff\ue000",
    "breaking": "水" * 9 + " a-b-" * 30,
}


def drawn(prompt: str, side: int = 512, *, watermark: bool = True) -> bytes:
    """Draw a small image of a prompt."""
    return draw(prompt, size=(side, side), watermark=watermark, seed_text=prompt)


def pixels(data: bytes) -> Image.Image:
    """Decode a whole image."""
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return image.copy()


def forget_fonts() -> None:
    """Clear what was remembered about the machine's fonts."""
    for function in (lettering._font, lettering._has, lettering._advance, lettering._simpler):
        function.cache_clear()


@pytest.fixture
def no_fonts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave only the font that comes with Pillow."""
    monkeypatch.setattr(lettering, "_font_files", lambda: ())
    forget_fonts()
    yield
    forget_fonts()


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("draw", [draw, draw_plain, draw_sunset], ids=["drawn", "plain", "sunset"])
def test_png_of_the_asked_size(draw: Draw, side: int) -> None:
    """An image is a whole PNG of exactly the asked size, below 300 KB."""
    data = draw("A teapot", size=(side, side), watermark=True, seed_text="a", image_format="PNG")
    with Image.open(io.BytesIO(data)) as image:
        image.verify()
    assert (pixels(data).size, len(data) < 300_000) == ((side, side), True)


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)
@pytest.mark.parametrize("fonts", ["fonts", "no-fonts"])
def test_every_text_can_be_drawn(prompt: str, fonts: str, request: pytest.FixtureRequest) -> None:
    """Any text is drawn with the machine's fonts or without, the same each time."""
    if fonts == "no-fonts":
        request.getfixturevalue("no_fonts")
    assert drawn(prompt) == drawn(prompt)


def test_sunsets_can_be_told_apart() -> None:
    """What is drawn without Pillow differs with the request, and is the same for the same."""
    files = [
        draw_sunset("a", size=(64, 64), watermark=True, seed_text=seed) for seed in ("a", "b", "a")
    ]
    assert files[0] == files[2] != files[1]
    assert len(pixels(files[0]).convert("RGB").getcolors() or []) > 40


def test_watermark_shows() -> None:
    """The watermark is there only when it is asked for."""
    with_mark, without = (
        draw("a", size=(512, 512), watermark=flag, seed_text="a") for flag in (True, False)
    )
    assert with_mark != without


def test_images_can_be_told_apart() -> None:
    """Forty prompts give images that differ even when eight pixels are left of each side."""
    thumbnails = {pixels(drawn(f"prompt {n}", 64)).resize((8, 8)).tobytes() for n in range(40)}
    assert len(thumbnails) == 40


@pytest.mark.parametrize("number", range(len(SCENES)))
def test_scenes_are_of_many_colours(number: int) -> None:
    """Each scene is of the asked size, and uses several colours of its palette."""
    for palette in PALETTES:
        image = paint_scene((120, 90), number, palette, hashlib.sha256(b"x").hexdigest())
        assert image.size == (120, 90)
        counted = image.quantize(8).getcolors() or []
        assert sum(count > 200 for count, _ in counted) >= 3


@pytest.mark.parametrize(("name", "file_format"), [("jpeg", "JPEG"), ("webp", "WEBP")])
def test_other_formats(name: str, file_format: ImageFormat) -> None:
    """The scenarios `jpeg` and `webp` serve what they say."""
    messages = [{"role": "user", "content": [{"text": f"sandbox:{name}"}]}]
    with httpx.Client(transport=SandboxTransport(), base_url=SANDBOX_BASE_URL) as client:
        response = client.post(
            PATH,
            json={"model": "qwen-image", "input": {"messages": messages}},
            headers={"Cache-Control": "no-cache", "Ocp-Apim-Subscription-Key": "k"},
        )
        parts = response.json()["output"]["choices"][0]["message"]["content"]
        fetched = client.get(parts[0]["image"])
    with Image.open(io.BytesIO(fetched.content)) as image:
        assert (image.format, image.size) == (file_format, (1328, 1328))


@pytest.mark.usefixtures("no_fonts")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a  b\n\tc", "a b c"),
        ("é × – “q”", "e x - “q”"),
        ("水墨画", "[3 Chinese characters]"),
        ("水,墨。画 in ink", "[5 Chinese characters] in ink"),
        ("一 stroke", "[1 Chinese character] stroke"),
        ("ひらがな", "[4 Japanese characters]"),
        ("안녕 하세요", "[5 Korean characters]"),
        ("кот", "[3 Cyrillic characters]"),
        ("robot 😀 🚀!", "robot [grinning face, rocket]!"),
        ("❤\ufe0f \U0001f469\u200d\U0001f4bb", "[heavy black heart, woman, personal computer]"),
        ("£5", "[pound sign]5"),
        ("\ue000", "[1 Unnamed character]"),
    ],
)
def test_stand_ins(text: str, expected: str) -> None:
    """What the fonts do not show is said in words, once for each run."""
    assert lettering.legible(text) == expected


@pytest.mark.usefixtures("no_fonts")
@given(st.text(max_size=60))
@settings(max_examples=60, deadline=None)
def test_no_empty_boxes(text: str) -> None:
    """Whatever the text, what is written has only characters that some font shows."""
    assert lettering._is_shown(lettering.legible(text))


@given(st.text(alphabet="ab c水,-", max_size=80), st.integers(30, 200))
@settings(max_examples=60, deadline=None)
def test_wrapping_keeps_the_text(text: str, width: int) -> None:
    """Lines keep every character but spaces, and none is wider than asked by more than kerning."""
    legible = lettering.legible(text)
    lines = lettering.wrap(legible, 20, width)
    assert "".join(lines).replace(" ", "") == legible.replace(" ", "")
    assert all(lettering.text_width(line, 20) <= width + 2 for line in lines)


@pytest.mark.parametrize("prompt", ["a boat " * 200, "x" * 2000], ids=["words", "one-word"])
def test_what_does_not_fit_ends_in_an_ellipsis(prompt: str) -> None:
    """A prompt that is too long for the smallest letters is cut, and says so."""
    _, lines = drawing._fit(prompt, 400, 512)
    assert lines[-1].endswith("…")
    assert (
        "".join(lines).replace(" ", "")[:-1]
        == prompt.replace(" ", "")[: len("".join(lines).replace(" ", "")) - 1]
    )
    _, whole = drawing._fit("a boat", 400, 512)
    assert whole == ["a boat"]


def test_fonts_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first font of a list that Pillow finds on the machine is taken, Chinese before others."""
    there = {"wqy-zenhei": "/fonts/wqy-zenhei.ttc", "simsun": "s", "DejaVuSans": "/fonts/d.ttf"}

    def truetype(name: str, _: float) -> SimpleNamespace:
        if name not in there:
            raise OSError("cannot open resource")
        return SimpleNamespace(path=there[name])

    monkeypatch.setattr(ImageFont, "truetype", truetype)
    assert lettering._font_files.__wrapped__() == ("/fonts/wqy-zenhei.ttc", "/fonts/d.ttf")
    assert lettering.chinese_font() == "/fonts/wqy-zenhei.ttc"
    there.clear()
    assert lettering._font_files.__wrapped__() == ()
    assert lettering.chinese_font() is None


def test_pillow_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Pillow the error says which extra to install."""
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.delitem(sys.modules, "langchain_qwen_image.sandbox.drawing")
    with pytest.raises(ImportError, match=r"langchain-qwen-image\[sandbox\]"):
        importlib.import_module("langchain_qwen_image.sandbox.drawing")


def test_pillow_without_freetype(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Pillow that cannot scale letters is an error that says so."""
    monkeypatch.setattr(features, "check", lambda _: False)
    monkeypatch.delitem(sys.modules, "langchain_qwen_image.sandbox.drawing")
    with pytest.raises(ImportError, match="FreeType"):
        importlib.import_module("langchain_qwen_image.sandbox.drawing")
