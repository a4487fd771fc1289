"""The gateway's JSON, field for field.

Descriptions, defaults and allowed values are those of its API document. The owner documents two
bodies of a success for this route: the document's `output.choices[].message.content[].image`, and,
on the model's page and in the newest material, `images[].url`. Both are read as they should be.
"""

from itertools import islice
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, GetCoreSchemaHandler
from pydantic_core import core_schema

from langchain_qwen_image._lazy_model import LazyModel
from langchain_qwen_image.schemas import ImageParameters, QwenImageInput, RequestPart


class TextContent(RequestPart):
    """Content object containing the text prompt for image generation."""

    text: str = Field(
        description=(
            "Text prompt describing the image to generate. Supports complex descriptions, "
            "multi-line layouts, and fine-grained details. Excels at Chinese and English text "
            "rendering."
        ),
    )


class UserMessage(RequestPart):
    """Message object containing the generation request."""

    role: Literal["user"] = Field(
        default="user",
        description=(
            'Role of the message sender. Must be "user" for text-to-image generation requests.'
        ),
    )
    content: list[TextContent] = Field(
        min_length=1,
        max_length=1,
        description="Array of content objects containing the text prompt for image generation.",
    )


class RequestInput(RequestPart):
    """The generation request's messages."""

    messages: list[UserMessage] = Field(
        min_length=1,
        max_length=1,
        description=(
            "Array of message objects containing the generation request. "
            "Must contain at least one user message."
        ),
    )


class TextToImageRequest(RequestPart):
    """Body of `POST /qwen-image/v1/generateMultimodeTextToImageRequest`."""

    model: Literal["qwen-image"] = Field(
        default="qwen-image",
        description=(
            'Model to use. Available value: "qwen-image" (Qwen text-to-image generation model).'
        ),
    )
    input: RequestInput
    parameters: ImageParameters = Field(default_factory=ImageParameters)

    @classmethod
    def from_input(cls, arguments: QwenImageInput) -> "TextToImageRequest":
        """Build the body for checked arguments."""
        message = UserMessage(content=[TextContent(text=arguments.prompt)])
        return cls(input=RequestInput(messages=[message]), parameters=arguments.parameters())


class _OddIsNone:
    """Marks a field that is None when it is of an odd shape."""

    def __get_pydantic_core_schema__(
        self, source: Any, build: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.with_default_schema(build(source), default=None, on_error="default")


_odd_is_none = _OddIsNone()
_Text = Annotated[str | None, _odd_is_none]
_Count = Annotated[int | None, _odd_is_none]
_Pixels = Annotated[int | None, Field(gt=0, strict=True), _odd_is_none]


class _Answer(LazyModel):
    """One object of the gateway's answer, read tolerantly.

    Fields that are missing or of an odd shape are None and unknown ones are saved: an answer that
    holds an image is paid for, and must not be lost over a detail. One thing in the place of a list
    is a list of one.
    """

    model_config = ConfigDict(extra="allow", frozen=True)


_MOST_PARTS = 4000
"""Parts of one list that are read; one image is asked for."""


def _as_list(value: object) -> object:
    if isinstance(value, dict | str):
        return [value]
    return value[:_MOST_PARTS] if isinstance(value, list) else value


def _spread(name: str) -> BeforeValidator:
    """Make parts `{name: link}` of links that are bare, in a list, or an object with a `url`."""

    def parts_of(value: object) -> object:
        items = _as_list(value)
        if not isinstance(items, list):
            return items
        parts = (part for item in items for part in _parts(name, item))
        return list(islice(parts, _MOST_PARTS))

    return BeforeValidator(parts_of)


def _parts(name: str, item: object) -> list[object]:
    if isinstance(item, str):
        is_text = len(item.split(None, 1)) > 1
        return [item if is_text else {name: item}]
    if not isinstance(item, dict) or not isinstance(item.get(name), list | dict):
        return [item]
    links = item[name] if isinstance(item[name], list) else [item[name]]
    first, *others = [link.get("url") if isinstance(link, dict) else link for link in links] or [""]
    return [{**item, name: first}, *({name: link} for link in others)]


class ImageContent(_Answer):
    """Content part of an answer; a part without `image` is something else, and skipped."""

    image: _Text = Field(default=None, description="URL of the generated image, or a `data:` URI.")


class AssistantMessage(_Answer):
    """Message that carries the images."""

    role: _Text = None
    content: Annotated[
        list[Annotated[ImageContent | None, _odd_is_none]] | None, _spread("image"), _odd_is_none
    ] = None


class Choice(_Answer):
    """One choice of an answer."""

    finish_reason: _Text = Field(default=None, description='Documented only as "stop".')
    message: Annotated[AssistantMessage | None, _odd_is_none] = None


class TaskMetric(_Answer):
    """Counts of the images asked for, failed and made."""

    TOTAL: _Count = None
    FAILED: _Count = None
    SUCCEEDED: _Count = None


class Output(_Answer):
    """What was generated."""

    choices: Annotated[
        list[Annotated[Choice | None, _odd_is_none]] | None,
        BeforeValidator(_as_list),
        _odd_is_none,
    ] = None
    task_metric: Annotated[TaskMetric | None, _odd_is_none] = None


class Usage(_Answer):
    """Size and number of the images, in the document's names and in upstream's."""

    width: _Pixels = None
    height: _Pixels = None
    image_count: _Count = None
    output_width: _Pixels = None
    output_height: _Pixels = None
    output_image_count: _Count = None


class ImageFile(_Answer):
    """One image of the second documented shape."""

    file_name: _Text = Field(default=None, description="Name that the owner's storage gave it.")
    content_type: _Text = Field(default=None, description='Media type, such as "image/png".')
    url: _Text = Field(default=None, description="URL of the generated image.")


class TextToImageResponse(_Answer):
    """Body of a successful answer, in either of the two documented shapes.

    Examples:
        >>> message = {"role": "assistant", "content": [{"image": "https://example.com/a.png"}]}
        >>> document = {"output": {"choices": [{"finish_reason": "stop", "message": message}]}}
        >>> TextToImageResponse.model_validate(document).image_urls()
        ['https://example.com/a.png']
        >>> model_page = {"images": [{"url": "https://example.com/a.png"}], "description": ""}
        >>> TextToImageResponse.model_validate(model_page).image_urls()
        ['https://example.com/a.png']
    """

    output: Annotated[Output | None, _odd_is_none] = Field(
        default=None, description="The generated image, in the format of the API document."
    )
    images: Annotated[
        list[Annotated[ImageFile | None, _odd_is_none]] | None, _spread("url"), _odd_is_none
    ] = Field(default=None, description="The generated image, in the format of the model's page.")
    description: _Text = Field(default=None, description="Empty in the owner's sample.")
    usage: Annotated[Usage | None, _odd_is_none] = None
    request_id: _Text = None

    def image_urls(self) -> list[str]:
        """Return every image's link, in order; those of the API document's shape come first."""
        in_messages = [
            part.image
            for choice in self._choices()
            for part in (choice.message and choice.message.content) or []
            if part and part.image
        ]
        return in_messages + [file.url for file in self.images or [] if file and file.url]

    def finish_reason(self) -> str | None:
        """Return the first reason that is given."""
        return next((choice.finish_reason for choice in self._choices()), None)

    def image_size(self) -> tuple[int | None, int | None]:
        """Return width and height in pixels, as far as the answer says them."""
        usage = self.usage or Usage()
        return usage.width or usage.output_width, usage.height or usage.output_height

    def image_count(self) -> int | None:
        """Return how many images are counted as used, as far as the answer says it."""
        usage = self.usage or Usage()
        return usage.image_count or usage.output_image_count

    def _choices(self) -> list[Choice]:
        return [choice for choice in (self.output and self.output.choices) or [] if choice]
