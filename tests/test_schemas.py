"""Arguments of a call, and the gateway's JSON field for field."""

import json
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError, create_model
from waiting import PATIENCE

from langchain_qwen_image import QwenImageInput, TextToImageRequest, TextToImageResponse
from langchain_qwen_image._lazy_model import LazyModel
from langchain_qwen_image.gateway_schemas import RequestInput, TextContent, UserMessage
from langchain_qwen_image.schemas import PARAMETERS, SIZES, ImageParameters
from langchain_qwen_image.wire.arguments import schema_without

# Field, its default if it has one, and its description, as the API document's table has them.
DOCUMENTED = [
    (TextToImageRequest, "model", "qwen-image",
     'Model to use. Available value: "qwen-image" (Qwen text-to-image generation model).'),
    (RequestInput, "messages", ...,
     ("Array of message objects containing the generation request. "
     "Must contain at least one user message.")),
    (UserMessage, "role", "user",
     'Role of the message sender. Must be "user" for text-to-image generation requests.'),
    (UserMessage, "content", ...,
     "Array of content objects containing the text prompt for image generation."),
    (TextContent, "text", ...,
     ("Text prompt describing the image to generate. Supports complex descriptions, multi-line "
     "layouts, and fine-grained details. Excels at Chinese and English text rendering.")),
    (ImageParameters, "negative_prompt", "",
     ("Negative prompt to specify what should not appear in the generated image. "
     'Default: "" (empty string).')),
    (ImageParameters, "prompt_extend", True,
     "Whether to extend and enhance the input prompt automatically. Default: true."),
    (ImageParameters, "watermark", True,
     "Whether to add a watermark to the generated image. Default: true."),
    (ImageParameters, "size", "1328*1328",
     ('Output image dimensions in format "WIDTHxHEIGHT". Available sizes: "1328*1328", '
     '"1024*1024", "768*768", "512*512". Default: "1328*1328".')),
]  # fmt: skip


@pytest.mark.parametrize(
    ("shape", "name", "default", "description"),
    [pytest.param(*row, id=f"{row[0].__name__}.{row[1]}") for row in DOCUMENTED],
)
def test_the_request_mirrors_the_document(
    shape: type[BaseModel], name: str, default: object, description: str
) -> None:
    """Each field has the document's default and description."""
    field = shape.model_fields[name]
    assert field.description == description
    assert field.is_required() is (default is ...)
    assert default is ... or field.default == default


def test_the_request_has_no_other_field() -> None:
    """The fields are those of the document's table, in the order of its sample."""
    fields = {shape: list(shape.model_fields) for shape, *_ in DOCUMENTED}
    assert fields == {
        TextToImageRequest: ["model", "input", "parameters"],
        RequestInput: ["messages"],
        UserMessage: ["role", "content"],
        TextContent: ["text"],
        ImageParameters: ["negative_prompt", "prompt_extend", "watermark", "size"],
    }
    assert list(QwenImageInput.model_fields) == ["prompt", *PARAMETERS]


_GOOD: dict[str, Any] = {
    "model": "qwen-image",
    "input": {"messages": [{"role": "user", "content": [{"text": "a fox"}]}]},
    "parameters": {
        "negative_prompt": "",
        "prompt_extend": True,
        "watermark": True,
        "size": "512*512",
    },
}


def changed(*path: str | int, to: object) -> dict[str, Any]:
    """Return a good request with one value changed or added."""
    body: Any = json.loads(json.dumps(_GOOD))
    place = body
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = to
    return body


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(changed("n", to=2), id="field more"),
        pytest.param(changed("parameters", "seed", to=2), id="parameter more"),
        pytest.param(changed("model", to="qwen-image-plus"), id="model"),
        pytest.param(changed("input", "messages", to=[]), id="no message"),
        pytest.param(
            changed("input", "messages", to=_GOOD["input"]["messages"] * 2), id="two messages"
        ),
        pytest.param(changed("input", "messages", 0, "role", to="system"), id="role"),
        pytest.param(changed("input", "messages", 0, "content", to=[]), id="no text"),
        pytest.param(
            changed("input", "messages", 0, "content", to=[{"text": "a"}] * 2), id="two texts"
        ),
        pytest.param(changed("input", "messages", 0, "content", 0, "image", to="x"), id="image"),
        pytest.param(changed("parameters", "size", to="1664*928"), id="upstream's size"),
        pytest.param(changed("parameters", "size", to="512x512"), id="size not as on the wire"),
    ],
)
def test_a_request_is_the_documents_or_refused(body: dict[str, Any]) -> None:
    """What the document does not have is no request."""
    assert TextToImageRequest.model_validate(_GOOD).model_dump() == _GOOD
    with pytest.raises(ValidationError):
        TextToImageRequest.model_validate(body)


@pytest.mark.parametrize(
    "prompt",
    [
        pytest.param("\u200b", id="zero-width space"),
        pytest.param("\ufeff\ufeff", id="byte order marks"),
        pytest.param(" \u00a0\u3000\u2028", id="spaces and separators"),
        pytest.param("\x00\x1a\x7f\x85", id="control characters"),
        pytest.param("\u200e\u202e\u2066", id="directions of writing"),
        pytest.param("\u00ad\u2060\u2064", id="soft hyphen, joiners"),
        pytest.param("\u034f\ufe0f\U000e0100", id="marks alone"),
        pytest.param("\u0301", id="an accent alone"),
        pytest.param("\U000e0041\U000e007f", id="tags"),
        pytest.param("\u115f\u1160\u3164\uffa0", id="Hangul fillers"),
        pytest.param("\u2800", id="Braille blank"),
        pytest.param("\ufffd\ufffc", id="replacement characters"),
        pytest.param("\ufffe\uffff\ufdd0", id="noncharacters"),
        pytest.param("\ue000\U0010fffd", id="private use"),
    ],
)
def test_a_prompt_of_invisible_characters_is_blank(prompt: str) -> None:
    """What has nothing to see is refused; one visible character makes it a prompt."""
    with pytest.raises(ValidationError, match=r"it is empty|no visible character"):
        QwenImageInput(prompt=prompt)
    assert QwenImageInput(prompt=f"{prompt}a{prompt}").prompt == f"{prompt}a{prompt}"


@pytest.mark.parametrize(
    "prompt",
    ["狐", "ع", "क", "7", "?", "€", "→", "❤\ufe0f", "🦊", "👩\u200d🚀", "🇨🇳", "\U0001fae8"],
)
def test_a_short_prompt_is_a_prompt(prompt: str) -> None:
    """One sign is enough, also an emoji that is newer than this Python's Unicode."""
    assert QwenImageInput(prompt=prompt).prompt == prompt


@pytest.mark.parametrize(
    ("written", "size"),
    [
        pytest.param(size.replace("*", sign), size, id=f"{size}{sign}")
        for size in SIZES
        for sign in ("*", "x", "X", "×", " * ", " x", "× ")
    ]
    + [pytest.param("  512*512\n", "512*512", id="spaces around")],
)
def test_sizes_are_taken_as_people_write_them(written: str, size: str) -> None:
    """All ways to write one of the four sizes mean that size."""
    assert QwenImageInput(prompt="a", size=written).size == size


@pytest.mark.parametrize(
    "size",
    ["1328", "1664*928", "512*768", "512**512", "512-512", "0512*512", "٥١٢*٥١٢", "512*512px",
     "large", 0, 512, ["512*512"], [], "5" * 5000],
)  # fmt: skip
def test_other_sizes_are_refused(size: object) -> None:
    """Any other size is an error that lists the four."""
    with pytest.raises(ValidationError) as caught:
        QwenImageInput(prompt="a", size=size)
    assert [one for one in SIZES if one not in str(caught.value)] == []


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name in PARAMETERS[1:] for value in (None, "", " ")]
    + [("negative_prompt", None)],
)
def test_null_and_a_blank_text_mean_not_given(name: str, value: object) -> None:
    """A parameter without a value is the default, and does not count as set."""
    arguments = QwenImageInput.model_validate({"prompt": "a", name: value})
    assert arguments == QwenImageInput(prompt="a")
    assert arguments.model_fields_set == {"prompt"}
    assert schema_without(frozenset({"prompt"})).model_validate({name: value}).model_fields_set == (
        set()
    )


def test_an_empty_negative_prompt_is_one() -> None:
    """A text may be empty: that keeps nothing out, whatever the default is."""
    assert "negative_prompt" in QwenImageInput(prompt="a", negative_prompt="").model_fields_set


@pytest.mark.parametrize("prompt", ["", " ", "\n\t", "\u3000", None, 3, ["a"]])
def test_a_prompt_is_a_text_that_says_something(prompt: object) -> None:
    """A blank prompt, or one that is no text, is refused."""
    with pytest.raises(ValidationError):
        QwenImageInput(prompt=prompt)


@pytest.mark.parametrize("field", ["prompt", "negative_prompt"])
def test_a_lone_surrogate_is_refused(field: str) -> None:
    """What UTF-8 cannot carry is refused before anything is built."""
    with pytest.raises(ValidationError) as caught:
        QwenImageInput(**{"prompt": "a", field: "fox \ud83e"})
    str(caught.value).encode()


@pytest.mark.parametrize("name", ["n", "seed", "model", "width", "Prompt", "negativePrompt"])
def test_other_arguments_are_refused(name: str) -> None:
    """An argument that the endpoint does not have is an error, not ignored."""
    with pytest.raises(ValidationError, match="Extra inputs"):
        QwenImageInput.model_validate({"prompt": "a", name: 1})


def test_the_arguments_are_described_for_a_model() -> None:
    """Every argument has a description, the schema shows the sizes and takes null for a default.

    The default is said in words: Gemini and Ollama drop the keyword. Ollama drops a choice, too.
    """
    schema = QwenImageInput.model_json_schema()
    prompt, *parameters = schema["properties"].values()
    assert prompt["description"]
    for name, field in zip(PARAMETERS, parameters, strict=True):
        assert [one["type"] for one in field["anyOf"]][1:] == ["null"]
        default = json.dumps(QwenImageInput.model_fields[name].default).strip('"') or "empty"
        assert field["description"].endswith(f"Default: {default}.")
    size = schema["properties"]["size"]
    assert size["anyOf"][0]["enum"] == list(SIZES)
    assert all(one in size["description"] for one in SIZES)
    assert schema["required"] == ["prompt"]
    assert schema["additionalProperties"] is False


def test_the_parameters_go_with_the_prompt() -> None:
    """`parameters()` gives the four, as checked."""
    arguments = QwenImageInput(prompt="a", watermark=False, size="768x768")
    assert arguments.parameters() == ImageParameters(watermark=False, size="768*768")


_odd = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(["output", "usage", "request_id", "x"]), _odd))
def test_any_object_is_read(answer: dict[str, object]) -> None:
    """Odd values cost themselves, never the reading."""
    response = TextToImageResponse.model_validate(answer)
    assert response.image_urls() == []
    assert response.finish_reason() is None
    assert all(side is None or side > 0 for side in response.image_size())


PLACES = {
    "the API document's": {"output": {"choices": [{"message": {"content": [{"image": "x"}]}}]}},
    "the model page's": {"images": [{"url": "x"}]},
}


@pytest.mark.parametrize("answer", PLACES.values(), ids=PLACES)
def test_both_success_shapes_are_read(answer: dict[str, Any]) -> None:
    """The owner documents two bodies of a success for this route; each gives its images."""
    response = TextToImageResponse.model_validate(answer)
    assert response.image_urls() == ["x"]
    assert response.model_dump(exclude_unset=True) == answer


LOOSE: dict[str, Callable[[str], Any]] = {
    "an object": lambda name: {name: "x"},
    "a string": lambda _: "x",
    "strings": lambda _: ["x"],
    "a list in it": lambda name: [{name: ["x"]}],
    "an object in it": lambda name: [{name: {"url": "x"}}],
    "objects in a list in it": lambda name: [{name: [{"url": "x"}]}],
    "odd ones beside it": lambda name: [
        *(None, 1, [], {}, {name: 2}, {name: []}, "two words", {name: "x"}),
    ],
}


@pytest.mark.parametrize("parts", LOOSE.values(), ids=LOOSE)
def test_one_thing_is_a_list_of_one(parts: Callable[[str], Any]) -> None:
    """Where a list is written as one thing, or a link in another way, it is read all the same."""
    message = {"message": {"content": parts("image")}}
    for answer in (
        {"images": parts("url")},
        {"output": {"choices": [message]}},
        {"output": {"choices": message}},
    ):
        assert TextToImageResponse.model_validate(answer).image_urls() == ["x"]


def test_the_parts_of_a_list_are_bounded() -> None:
    """One image is asked for; a list of very many parts is read as far as it can make sense."""
    many = [{"url": ["x"] * 10}] * 1000
    assert len(TextToImageResponse.model_validate({"images": many}).image_urls()) == 4000
    content = {"output": {"choices": [{"message": {"content": [{"image": "x"}] * 9000}}]}}
    assert len(TextToImageResponse.model_validate(content).image_urls()) == 4000


@pytest.mark.parametrize(
    ("usage", "count"),
    [({"image_count": 2}, 2), ({"output_image_count": 3}, 3), ({}, None), ("two", None),
     ({"image_count": 0}, None)],
)  # fmt: skip
def test_the_count_is_read_in_both_spellings(usage: Any, count: int | None) -> None:
    """How many images were used is read in the document's name and in upstream's."""
    assert TextToImageResponse.model_validate({"usage": usage}).image_count() == count


def test_unknown_keys_are_saved() -> None:
    """What the document does not name is saved where it stood."""
    response = TextToImageResponse.model_validate({"usage": {"input_tokens": 0}, "new": [1]})
    assert response.model_dump(exclude_none=True) == {"usage": {"input_tokens": 0}, "new": [1]}


def test_the_documents_sample_response_comes_back() -> None:
    """The document's sample is read whole: dumped again, it is the same."""
    sample = {
        "output": {
            "choices": [
                {
                    "finish_reason": "stop",
                    "message": {
                        "role": "assistant",
                        "content": [{"image": "https://example.com/generated-image.png"}],
                    },
                }
            ],
            "task_metric": {"TOTAL": 1, "FAILED": 0, "SUCCEEDED": 1},
        },
        "usage": {"width": 1328, "image_count": 1, "height": 1328},
        "request_id": "7a270c86-db58-9faf-b403-xxxxxx",
    }
    response = TextToImageResponse.model_validate(sample)
    assert response.model_dump(exclude_unset=True) == sample
    assert response.image_urls() == ["https://example.com/generated-image.png"]
    assert response.image_size() == (1328, 1328)


@pytest.fixture
def restless_threads() -> Iterator[None]:
    """Let threads take turns as often as they can."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("restless_threads")
def test_threads_that_use_a_model_first_at_once_get_that_model() -> None:
    """A model that threads build at once is itself in each of them, never its parent."""
    threads = 8
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(1000):
            model = create_model("Part", __base__=LazyModel, text=(str | None, None))
            all_there = Barrier(threads)

            def use(_: int, model: type[LazyModel] = model, there: Barrier = all_there) -> object:
                there.wait(PATIENCE)
                return model.model_validate({"text": "a fox"})

            assert {type(found) for found in pool.map(use, range(threads))} == {model}
