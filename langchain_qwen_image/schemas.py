"""The arguments of a call, with descriptions that are written for a model to read."""

import re
import unicodedata
from typing import Annotated, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
)
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


class QwenImageInput(BaseModel):
    """Arguments of one image generation; fields that are not listed here are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    prompt: Annotated[_Encodable, AfterValidator(_refuse_blank)] = Field(
        description=(
            "What the image shows: subject, setting, style, light, composition. Put any text "
            "that should appear in the image in quotation marks; Chinese and English text render "
            f"well. At most {PROMPT_LIMIT} characters take effect."
        ),
    )
    negative_prompt: _Encodable = Field(
        default="",
        description=(
            "What to keep out of the image, such as 'blurry, extra fingers'. "
            f"At most {NEGATIVE_PROMPT_LIMIT} characters take effect."
        ),
    )
    prompt_extend: bool = Field(
        default=True,
        description=(
            "Whether the service may rewrite the prompt into a richer one. "
            "Set to false when the wording must be followed exactly."
        ),
    )
    watermark: bool = Field(
        default=True, description="Whether the image carries the service's watermark."
    )
    size: Size = Field(
        default="1328*1328", description="Width*height in pixels; all sizes cost the same."
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
