"""The base install has no Pillow: the sandbox draws plainer images, and says so once."""

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from conftest import Call

from langchain_qwen_image import QwenImageGenerator
from langchain_qwen_image.sandbox import SandboxServer, storage


@pytest.fixture(autouse=True)
def _no_pillow(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let importing Pillow fail, also where it was imported before."""
    for name in list(sys.modules):
        if name.split(".")[0] == "PIL" or name == "langchain_qwen_image.sandbox.drawing":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "PIL", None)
    storage._default_draw.cache_clear()
    yield
    storage._default_draw.cache_clear()


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the warnings of this package."""
    return [one.message for one in caplog.records if one.name == "langchain_qwen_image"]


def test_the_first_example_works(
    call: Call, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """A call succeeds, its image is saved and whole, and one warning names the extra."""
    generator = QwenImageGenerator(sandbox=True, save_to=tmp_path, size="512*512")
    images = [call(generator, "invoke", prompt).image for prompt in ("a fox", "a hen")]
    contents = [call(image, "read") for image in images]
    assert [image.path is not None for image in images] == [True, True]
    assert [content[:8] for content in contents] == [b"\x89PNG\r\n\x1a\n"] * 2
    assert contents[0] != contents[1]
    (warning,) = warnings_of(caplog)
    assert "pip install 'langchain-qwen-image[sandbox]'" in warning


def test_an_image_that_is_not_saved(call: Call) -> None:
    """Without a folder an image is fetched when it is read, without Pillow too."""
    image = call(QwenImageGenerator(sandbox=True), "invoke", "a fox").image
    assert call(image, "read")[:4] == b"\x89PNG"


def test_the_server_serves(caplog: pytest.LogCaptureFixture) -> None:
    """The server's links serve the same plain images."""
    caplog.set_level(logging.WARNING)
    with SandboxServer() as server:
        generator = QwenImageGenerator(base_url=server.base_url, api_key="k")
        url = generator.invoke("a fox").image.url
        answer = httpx.get(url, trust_env=False)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert len(warnings_of(caplog)) == 1
