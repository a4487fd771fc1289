"""The sentence that a model reads: short, and enough."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from conftest import Call
from hypothesis import given
from hypothesis import strategies as st

from langchain_qwen_image import GeneratedImage, ImageGenerationResult, QwenImageTool
from langchain_qwen_image.sandbox import SandboxServer
from langchain_qwen_image.schemas import ImageParameters

LINK = "https://images.example/" + "a" * 900 + ".png?Expires=1799999999&Signature=" + "s" * 300
PATH = "/images/" + "deep/" * 120 + "2026-11-23-a-fox-k3v9q2xd.png"
TRANSPORT_ERRORS = "DNS\n " * 2000


def result(*images: GeneratedImage, sandbox: bool = False) -> ImageGenerationResult:
    """Return a result with these images, at the document's price."""
    return ImageGenerationResult(
        images=list(images),
        prompt="a fox " * 500,
        parameters=ImageParameters(),
        cost_usd=0 if sandbox else 0.045 * len(images),
        sandbox=sandbox,
    )


def image(**facts: object) -> GeneratedImage:
    """Return an image of the largest size."""
    facts = {"url": LINK, "expires_at": datetime(2027, 1, 15, tzinfo=UTC), **facts}
    return GeneratedImage(width=1328, height=1328, mime_type="image/jpeg", **facts)  # type: ignore[arg-type]


def own_words(one: ImageGenerationResult) -> str:
    """Return the sentence without links and paths, whose length is not ours."""
    return one.summary().replace(LINK, "").replace(PATH, "")


CASES = [
    pytest.param([image()], "Link until 2027-01-15 00:00 UTC", id="link"),
    pytest.param([image(expires_at=None)], "Link (id", id="link without a date"),
    pytest.param([image(path=PATH)], "Saved as ", id="saved, long path"),
    pytest.param(
        [image(download_error=TRANSPORT_ERRORS)], "exists and is paid for", id="fetch failed"
    ),
    pytest.param([image(url=None)], "in the result", id="inline, not saved"),
    pytest.param([image(path=PATH), image(path=PATH)], "2 images", id="two"),
    pytest.param([image(path=PATH), image(download_error=TRANSPORT_ERRORS)], "paid for", id="half"),
    pytest.param(
        [image(download_error=TRANSPORT_ERRORS) for _ in range(1000)],
        "998 more are",
        id="a thousand",
    ),
]


@pytest.mark.parametrize("sandbox", [False, True], ids=["paid", "sandbox"])
@pytest.mark.parametrize(("images", "says"), CASES)
def test_the_sentence_stays_under_400_characters_beside_the_link(
    images: list[GeneratedImage], says: str, sandbox: bool
) -> None:
    """Whatever happened, the model reads fewer than 400 characters of ours, in one line."""
    words = own_words(result(*images, sandbox=sandbox))
    assert says in words
    assert len(words) < 400
    assert "\n" not in words


@pytest.mark.parametrize(("images", "says"), CASES)
def test_the_sentence_tells_a_model_not_to_ask_again(
    images: list[GeneratedImage], says: str
) -> None:
    """Every sentence says that the call is done, and ends by saying not to repeat it."""
    words = own_words(result(*images))
    assert words.startswith("Done: ")
    assert words.endswith("Do not generate it again unless the user asks for another.")


@given(
    st.lists(
        st.tuples(st.booleans(), st.none() | st.text(max_size=300), st.none() | st.just(LINK)),
        min_size=1,
        max_size=6,
    )
)
def test_any_mix_of_outcomes_stays_short(
    outcomes: list[tuple[bool, str | None, str | None]],
) -> None:
    """No combination of saved, failed and inline images makes a long sentence."""
    images = [
        image(path=PATH if saved else None, download_error=failure, url=url)
        for saved, failure, url in outcomes
    ]
    assert len(own_words(result(*images))) < 400


def test_the_reason_is_told_and_the_link_only_once(
    server: SandboxServer, call: Call, tmp_path: Path
) -> None:
    """After a failed fetch the model reads why, in words that are not cut off."""
    tool = QwenImageTool(base_url=server.base_url, api_key="test-key-s", save_to=tmp_path)
    words = call(tool, "invoke", {"prompt": "sandbox:image-404"})
    says = "It exists and is paid for, but could not be fetched: the host answered 404 NoSuchKey."
    assert says in words
    assert words.count("/images/") == 1


def test_a_model_reads_no_warnings() -> None:
    """Warnings are for people: they are in result and artifact, and not in the sentence."""
    warned = result(image())
    plain = warned.summary()
    warned.warnings = ["The answer names 2 images; one was asked for."]
    assert warned.summary() == plain
    assert warned.to_artifact()["warnings"] == warned.warnings


def test_the_cost_is_that_of_all_images() -> None:
    """The sentence names what the call cost; the sandbox costs nothing."""
    assert "Cost: $0.045." in result(image()).summary()
    assert "Cost: $0.135." in result(image(), image(), image()).summary()
    assert "Cost: nothing" in result(image(), sandbox=True).summary()


def test_the_way_a_tool_s_id_is_said_is_that_of_the_file() -> None:
    """The short id in the sentence is the image's, so that it can be named later."""
    one = image(path=PATH)
    assert re.search(rf"\(id {one.id}\)", result(one).summary())
