"""The arguments of a call, with descriptions that are written for a model to read."""

import re
import unicodedata
from collections.abc import Mapping
from enum import Enum
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    model_validator,
)
from pydantic_core import CoreSchema
from typing_extensions import TypedDict

from langchain_qwen_image._lazy_model import LazyModel

MODEL = "qwen-image"
PROMPT_LIMIT = 800
"""Characters after which upstream cuts a prompt off, silently (upstream's documentation)."""
NEGATIVE_PROMPT_LIMIT = 500
"""Characters after which upstream cuts a negative prompt off, silently (upstream)."""

ImageSize = Literal["1328*1328", "1024*1024", "768*768", "512*512"]
SIZES: tuple[ImageSize, ...] = get_args(ImageSize)

# Hangul fillers, the blank Braille pattern, the null notehead, and the two signs that stand for
# something that is missing: Unicode calls them letters or symbols.
_EMPTY_SIGNS = frozenset("\u115f\u1160\u3164\uffa0\u2800\U0001d159\ufffc\ufffd")

_SIZE_AS_WRITTEN = re.compile(r"\s*(\d+)\s*[*xX×]\s*(\d+)\s*", re.ASCII)


def _normalise_size(value: object) -> object:
    value = value.value if isinstance(value, Enum) else value
    match = _SIZE_AS_WRITTEN.fullmatch(value) if isinstance(value, str) else None
    return f"{match[1]}*{match[2]}" if match else value


def is_blank(text: str) -> bool:
    """Say whether a text has nothing that can be seen: an image of it is an image of nothing.

    Separators, control and format characters are not seen, nor are marks without a letter to
    stand on, and a few letters and signs that are empty by definition. A character that this
    Python's Unicode does not know yet may be a new emoji, and counts as seen.
    """
    return all(_is_unseen(character) for character in text)


def _is_unseen(character: str) -> bool:
    category = unicodedata.category(character)
    if category == "Cn":
        code = ord(character)
        return code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF  # Unicode's noncharacters
    return category[0] in "CZM" or character in _EMPTY_SIGNS


def _refuse_blank(prompt: str) -> str:
    if not prompt or prompt.isspace():
        raise ValueError("it is empty; describe the image to generate")
    if is_blank(prompt):
        raise ValueError("it has no visible character; describe the image to generate")
    return prompt


def _refuse_surrogates(text: str) -> str:
    """Refuse half a character, such as a cut JSON escape leaves: UTF-8 has no bytes for it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("it contains half a character (a lone surrogate); remove that") from None
    return text


_Encodable = Annotated[str, AfterValidator(_refuse_surrogates)]
Size = Annotated[ImageSize, BeforeValidator(_normalise_size)]


class _OrNull:
    """Shows in the JSON schema that null is taken: a strict tool must give every argument."""

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [handler(core_schema), {"type": "null"}]}


def given_only(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments without the parameters that have no value.

    Null is no value, and neither is a blank text where a size or a boolean is expected: models and
    forms send them for what they leave open.
    """
    return {name: value for name, value in given.items() if _is_given(name, value)}


def _is_given(name: str, value: object) -> bool:
    if name not in PARAMETERS:
        return True
    is_blank_text = isinstance(value, str) and not value.strip()
    return value is not None and (name == "negative_prompt" or not is_blank_text)


class Arguments(BaseModel):
    """Some of the arguments; parameters without a value count as not given, others are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _leave_out(cls, given: Any) -> Any:
        return given_only(given) if isinstance(given, Mapping) else given


class QwenImageInput(Arguments):
    """Arguments of one image generation; fields that are not listed here are refused.

    Parameters may be null, which means the default. The descriptions name it in words, because
    some clients remove `default` from a schema.
    """

    prompt: Annotated[_Encodable, AfterValidator(_refuse_blank)] = Field(
        description=(
            "What the image shows: subject, setting, style, light, composition. Put any text "
            "that should appear in the image in quotation marks; Chinese and English text render "
            f"well. At most {PROMPT_LIMIT} characters take effect."
        ),
    )
    negative_prompt: Annotated[_Encodable, _OrNull()] = Field(
        default="",
        description=(
            "What to keep out of the image, such as 'blurry, extra fingers'. "
            f"At most {NEGATIVE_PROMPT_LIMIT} characters take effect. Default: empty."
        ),
    )
    prompt_extend: Annotated[bool, _OrNull()] = Field(
        default=True,
        description=(
            "Whether the service may rewrite the prompt into a richer one. "
            "Set to false when the wording must be followed exactly. Default: true."
        ),
    )
    watermark: Annotated[bool, _OrNull()] = Field(
        default=True,
        description="Whether the image carries the service's watermark. Default: true.",
    )
    size: Annotated[Size, _OrNull()] = Field(
        default="1328*1328",
        description=(
            f"Width*height in pixels, one of {', '.join(SIZES)}; all cost the same. "
            "Default: 1328*1328."
        ),
    )

    def parameters(self) -> "ImageParameters":
        """Return the four parameters that go with the prompt."""
        return ImageParameters.model_construct(**{name: getattr(self, name) for name in PARAMETERS})


class GivenParameters(TypedDict, total=False):
    """Keyword arguments that may go with a prompt."""

    negative_prompt: str
    prompt_extend: bool
    watermark: bool
    size: str


class RequestPart(LazyModel):
    """One object of the gateway's request: no field more than the document has."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ImageParameters(RequestPart):
    """Parameters of the image; all four are always sent, since upstream's defaults differ."""

    negative_prompt: str = Field(
        default="",
        description=(
            "Negative prompt to specify what should not appear in the generated image. "
            'Default: "" (empty string).'
        ),
    )
    prompt_extend: bool = Field(
        default=True,
        description=(
            "Whether to extend and enhance the input prompt automatically. Default: true."
        ),
    )
    watermark: bool = Field(
        default=True,
        description="Whether to add a watermark to the generated image. Default: true.",
    )
    size: ImageSize = Field(
        default="1328*1328",
        description=(
            'Output image dimensions in format "WIDTHxHEIGHT". Available sizes: "1328*1328", '
            '"1024*1024", "768*768", "512*512". Default: "1328*1328".'
        ),
    )


PARAMETERS = tuple(ImageParameters.model_fields)
