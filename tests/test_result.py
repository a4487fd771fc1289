"""Results as objects and as plain JSON, before anything is saved."""

import copy
import json
import operator
import pickle
from datetime import UTC, datetime
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langgraph.graph import START, StateGraph
from loopback import LINK
from pydantic import BaseModel, TypeAdapter
from typing_extensions import TypedDict

from langchain_qwen_image import GeneratedImage, ImageGenerationResult, QwenImageInput
from langchain_qwen_image.artifact import ResultArtifact
from langchain_qwen_image.errors import InvalidRequestError
from langchain_qwen_image.pipeline.progress import ProgressEvent
from langchain_qwen_image.schemas import ImageParameters

COPIES = [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))]
copied_in_any_way = pytest.mark.parametrize("copied", COPIES, ids=["copy", "deepcopy", "pickle"])


class Source:
    """Where bytes come from, which no pickle takes."""

    def __init__(self, content: bytes) -> None:
        """Take the image, and something that cannot be pickled."""
        self.content = content
        self.not_to_be_pickled = lambda: None

    def read(self, image: GeneratedImage) -> bytes:
        """Return it."""
        return self.content

    async def aread(self, image: GeneratedImage) -> bytes:
        """Return it."""
        return self.content

    def cached_bytes(self, image: GeneratedImage) -> bytes | None:
        """Return it."""
        return self.content


def result(*urls: str, **more: Any) -> ImageGenerationResult:
    """Return a result with these links."""
    settings = {"prompt": "a fox", "parameters": ImageParameters(), "cost_usd": 0.045, **more}
    return ImageGenerationResult(images=[GeneratedImage.from_link(url) for url in urls], **settings)


@pytest.mark.parametrize(
    ("url", "moment"),
    [
        pytest.param(LINK, datetime(2027, 1, 15, 7, 59, 59, tzinfo=UTC), id="OSS"),
        pytest.param(
            "https://h/a?X-Amz-Date=20261123T120000Z&X-Amz-Expires=3600&X-Amz-Signature=s",
            datetime(2026, 11, 23, 13, tzinfo=UTC),
            id="S3",
        ),
        pytest.param(
            "https://h/a?expires=1799999999.5",
            datetime(2027, 1, 15, 7, 59, 59, 500_000, UTC),
            id="lower",
        ),
        pytest.param("https://h/a.png", None, id="not said"),
        pytest.param("https://h/a?Expires=soon", None, id="word"),
        pytest.param("https://h/a?Expires=0", None, id="zero"),
        pytest.param("https://h/a?Expires=nan", None, id="nan"),
        pytest.param("https://h/a?Expires=1e30", None, id="beyond dates"),
        pytest.param("https://h/a?Expires=", None, id="empty"),
        pytest.param(
            "https://h/a?X-Amz-Date=20261123T120000Z&X-Amz-Expires=1e30", None, id="S3 beyond"
        ),
        pytest.param("https://h/a?X-Amz-Date=today&X-Amz-Expires=3600", None, id="S3 odd"),
        pytest.param("data:image/png;base64,Expires=1799999999", None, id="data URI"),
    ],
)  # fmt: skip
def test_a_link_says_when_it_expires(url: str, moment: datetime | None) -> None:
    """`expires_at` is read from the link itself, which stays as it came."""
    image = GeneratedImage.from_link(url, width=8, height=9)
    assert (image.url, image.expires_at) == (url, moment)
    assert (image.width, image.height) == (8, 9)


def test_a_result_has_an_image() -> None:
    """A result without images cannot be made; `image` is the first."""
    with pytest.raises(ValueError, match="at least 1 item"):
        result()
    assert result("https://h/1", "https://h/2").image.url == "https://h/1"


def test_ids_differ() -> None:
    """Every image gets an id of its own, fit for file names."""
    ids = {GeneratedImage().id for _ in range(200)}
    assert len(ids) == 200
    assert all(one.isalnum() and one.isascii() and len(one) == 8 for one in ids)


@given(
    st.lists(st.sampled_from([LINK, "https://h/ä.png?a=%2B", "http://h/"]), min_size=1, max_size=3),
    st.text(min_size=1).filter(str.strip),
    st.booleans(),
)
def test_an_artifact_brings_the_result_back(urls: list[str], prompt: str, sandbox: bool) -> None:
    """An artifact is plain JSON: through any number of dumps, the same result comes back."""
    made = result(*urls, prompt=prompt, sandbox=sandbox, request_id="r", finish_reason="stop")
    artifact = json.loads(json.dumps(made.to_artifact()))
    assert artifact == made.to_artifact()
    assert ImageGenerationResult.from_artifact(artifact) == made


def test_an_artifact_is_a_type_that_pydantic_reads() -> None:
    """Programs put it into models and states; before Python 3.12 that needs one `TypedDict`."""
    artifact = result(LINK).to_artifact()
    assert TypeAdapter(ResultArtifact).validate_python(artifact) == artifact
    assert TypeAdapter(ProgressEvent).json_schema()["properties"]["seconds"]

    class Album(TypedDict):
        images: Annotated[list[ResultArtifact], operator.add]

    class Checked(BaseModel):
        images: list[ResultArtifact] = []

    for state in (Album, Checked):
        graph = StateGraph(state)
        graph.add_node("draw", lambda _: {"images": [artifact]})
        graph.add_edge(START, "draw")
        assert graph.compile().invoke({"images": []})["images"] == [artifact]


def test_an_artifact_has_no_bytes() -> None:
    """An image that came inline is not in the artifact; the rest of it is."""
    made = result("data:image/png;base64,AAAA", LINK)
    urls = [image["url"] for image in made.to_artifact()["images"]]
    assert urls == [None, LINK]
    assert ImageGenerationResult.from_artifact(made.to_artifact()).images[0].url is None


def test_a_saved_image_leaves_its_signature_behind() -> None:
    """What is dumped of a saved image has no signed link; the object itself still has it."""
    image = GeneratedImage(url=LINK, path="/tmp/a.png")
    assert image.model_dump()["url"] == "https://images.example/a.png"
    assert "Signature" not in image.model_dump_json()
    assert image.url == LINK
    assert GeneratedImage(url="data:image/png,x", path="a").model_dump()["url"] is None
    assert GeneratedImage(path="a").model_dump()["url"] is None


def test_an_artifact_says_its_schema() -> None:
    """An artifact names the version of its shape, the call, and what was unusual."""
    made = result(LINK, call_id="5f0c", warnings=["The answer names 2 images."])
    artifact = made.to_artifact()
    assert next(iter(artifact)) == "schema"
    assert (artifact["schema"], artifact["call_id"]) == (1, "5f0c")
    assert artifact["warnings"] == ["The answer names 2 images."]
    assert ImageGenerationResult.from_artifact(artifact) == made


@pytest.mark.parametrize("later", [{}, {"schema": 2, "colour": "red"}], ids=["0.1", "later"])
def test_artifacts_of_other_versions_are_read(later: dict[str, Any]) -> None:
    """An artifact without a schema, or of a later one that has the same fields, brings a result."""
    made = result(LINK)
    artifact = {**made.to_artifact()}
    for name in ("schema", "call_id", "warnings"):
        del artifact[name]
    assert ImageGenerationResult.from_artifact(artifact | later) == made


@pytest.mark.parametrize(
    "artifact",
    [
        {},
        {"images": []},
        {"images": [{}]},
        {**result(LINK).to_artifact(), "cost_usd": -1},
        [],
        None,
    ],
    ids=["empty", "no images", "no prompt", "negative cost", "list", "none"],
)
def test_what_is_no_artifact_is_refused(artifact: Any) -> None:
    """Something else than an artifact is an error of the tree, without its values."""
    with pytest.raises(InvalidRequestError, match="Expected the artifact") as caught:
        ImageGenerationResult.from_artifact(artifact)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_the_arguments_can_be_used_again() -> None:
    """`arguments` asks for the like of it once more."""
    parameters = ImageParameters(size="512*512", watermark=False)
    assert result(LINK, parameters=parameters).arguments == QwenImageInput(
        prompt="a fox", size="512*512", watermark=False
    )


def test_links_are_not_shown() -> None:
    """Neither repr nor str of a result shows a link: it is a bearer secret."""
    made = result(LINK)
    for shown in (repr(made), str(made), repr(made.image), str(made.image)):
        assert "Signature" not in shown
        assert "images.example" not in shown


@copied_in_any_way
def test_a_copy_is_equal(copied: Any) -> None:
    """A copied or pickled result equals the first; a pickle leaves its source behind."""
    made = result(LINK)
    made.image.bind(Source(b"bytes"))
    again = copied(made)
    assert again == made
    if copied not in {copy.copy, copy.deepcopy}:
        assert again.image._source is None


def test_equality_is_by_value() -> None:
    """Images are equal when their fields are, and to nothing else."""
    image = GeneratedImage(id="a", url=LINK)
    assert image == GeneratedImage(id="a", url=LINK)
    assert image != GeneratedImage(id="b", url=LINK)
    assert image != "a"
    with pytest.raises(TypeError):
        hash(image)


def test_a_bound_source_gives_the_bytes(call: Any, tmp_path: Any) -> None:
    """`read` and `save` get the bytes from where the image is bound to."""
    image = GeneratedImage(url=LINK)
    image.bind(Source(b"bytes"))
    assert call(image, "read") == b"bytes"
    path = call(image, "save", tmp_path / "a.png")
    assert path.read_bytes() == b"bytes"
    assert image.cached_bytes() == b"bytes"


def test_times_are_in_utc() -> None:
    """`created_at` is an aware time in UTC, now."""
    created = result(LINK).created_at
    assert created.tzinfo is UTC
    assert abs((datetime.now(UTC) - created).total_seconds()) < 3600
