"""The tool by which a model looks at an image that it made."""

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import PurePath
from typing import Any

from langchain_core.messages import ContentBlock
from langchain_core.messages.content import create_image_block, create_text_block
from langchain_core.tools import ArgsSchema
from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from langchain_qwen_image.account.account_setting import AccountSetting
from langchain_qwen_image.defaults import GENERATE_TOOL, VIEW_TOOL
from langchain_qwen_image.errors import (
    ConfigurationError,
    DownloadError,
    InvalidRequestError,
    QwenImageError,
)
from langchain_qwen_image.integration.hosted_tool import HostedTool, is_left_to_us
from langchain_qwen_image.integration.vision import place_images, takes_images_of_tools
from langchain_qwen_image.rendering.thumbnail import MAX_BYTES, thumbnail
from langchain_qwen_image.storage.by_address import address_in, paths_at
from langchain_qwen_image.storage.opening import ImageStore, SaveTo, open_store
from langchain_qwen_image.storage.paths import TooLargeError
from langchain_qwen_image.storage.public_url import PublicUrlSetting

__all__ = ["MAX_SIDE", "ViewImageInput", "ViewImageTool", "place_images", "takes_images_of_tools"]

MAX_SIDE = 768
"""Pixels; what a vision model sees well, at some 100 kB."""

_ID = re.compile(r"[0-9a-z]{8}(?:[0-9a-z]{2})?")
_AS_QUOTED = re.compile(r"""^[\s"'`(]*(?:id[\s:=]+)?|[\s"'`)]*$""")
_SHOWN = 80


def _describe_image(generated_by: str) -> str:
    return (
        "Short id of the image, such as k3v9q2xd, or its path or address, from the sentence that "
        f"{generated_by} answered with."
    )


class ViewImageInput(BaseModel):
    """Argument of `view_image`."""

    image: str = Field(description=_describe_image(GENERATE_TOOL))


@cache
def _input_for(generated_by: str) -> type[BaseModel]:
    """Return the schema that names the tool whose sentences have the ids."""
    if generated_by == GENERATE_TOOL:
        return ViewImageInput
    image = (str, Field(description=_describe_image(generated_by)))
    return create_model(
        ViewImageInput.__name__, __doc__=ViewImageInput.__doc__, __module__=__name__, image=image
    )


class ViewImageTool(HostedTool):
    """Show a model a saved image, scaled down, as a standard image content block.

    Reads only what was saved in `save_to` by this package: an image with its sidecar, whose bytes
    are still those that were saved. No other path, and no link that leads out; a public address
    tells which image is meant, and is never opened. Errors go the
    way of `QwenImageTool`: the model reads what it can fix, the operator gets the rest.
    """

    model_config = ConfigDict(
        arbitrary_types_allowed=True, extra="forbid", hide_input_in_errors=True
    )

    name: str = VIEW_TOOL
    description: str = ""
    args_schema: ArgsSchema | None = ViewImageInput
    save_to: SaveTo = Field(description="Folder, address or ByteStore where images are saved.")
    public_url: PublicUrlSetting = Field(
        default=None, description="Where a browser sees them: that of `QwenImageTool`."
    )
    account: AccountSetting = Field(
        default=None,
        description="The account that knows where each image is: that of `QwenImageTool`.",
    )
    max_side: int = Field(
        default=MAX_SIDE, gt=0, description="Longest side that a model is shown, in pixels."
    )
    generated_by: str = Field(
        default=GENERATE_TOOL,
        description="Name of the tool that made the images; what the model reads names it.",
    )

    @model_validator(mode="after")
    def _name_the_other_tool(self) -> "ViewImageTool":
        values = self.__dict__
        if is_left_to_us(self, ViewImageTool, "description"):
            values["description"] = _describe(self.generated_by)
        if is_left_to_us(self, ViewImageTool, "args_schema"):
            values["args_schema"] = self._our_schema()
        return self

    def _our_schema(self) -> type[BaseModel]:
        return _input_for(self.generated_by)

    def _by_our_schema(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return {"image": given.get("image")}  # `_run` judges it, and says what to give instead

    def _run(self, image: str, **others: Any) -> list[ContentBlock]:
        return self._show(open_store(self.save_to), image)

    def _show(self, store: ImageStore, image: object) -> list[ContentBlock]:
        text = image if isinstance(image, str) else ""
        name = address_in(text) or _AS_QUOTED.sub("", text)
        try:
            image_id, content = _look_up(store, self._paths(store, name), name, self.generated_by)
        except QwenImageError:
            raise
        except Exception as error:  # a store of the caller's raises what it likes
            problem = type(error).__name__
            raise DownloadError(f"The store of the images cannot be read ({problem}).") from None
        small, mime_type = _small_copy(content, self.max_side, self.name)
        said = (
            f"This is image {image_id}, its longest side scaled to {self.max_side} pixels at most."
        )
        return [
            create_text_block(said, id=f"{image_id}-text"),
            create_image_block(
                base64=b64encode(small).decode("ascii"), mime_type=mime_type, id=f"{image_id}-image"
            ),
        ]

    def _paths(self, store: ImageStore, name: str) -> Iterator[str]:
        if _ID.fullmatch(name):
            yield from self._paths_of_id(store, name)
        elif address := address_in(name):
            yield from paths_at(store, self.public_url, address)
        elif PurePath(name).name:
            yield name

    def _paths_of_id(self, store: ImageStore, image_id: str) -> Iterator[str]:
        # Imported here: an agent that never looks at an image loads no SQLite.
        from langchain_qwen_image.account.chosen import account_of
        from langchain_qwen_image.pipeline.copies import find_by_id

        account = None
        with suppress(QwenImageError):  # a folder with books in two places
            account, _ = account_of(self.account, store.folder, sandbox=False)
        yield from find_by_id(store, account, image_id)


def _describe(generated_by: str) -> str:
    return (
        f"Shows you an image that {generated_by} made, scaled down, so that you can judge it. "
        "Free of charge. Use it when the user wants the image checked, described or improved; "
        "it opens no other files and no links."
    )


def _small_copy(content: bytes, max_side: int, tool: str) -> tuple[bytes, str]:
    try:
        return thumbnail(content, max_side=max_side)
    except ImportError:
        problem: QwenImageError = ConfigurationError(
            f"{tool} needs Pillow, which is not installed: pip install 'langchain-qwen-image[view]'"
        )
    except ValueError as error:
        problem = _not_to_be_shown(error)
    raise problem


def _not_to_be_shown(error: ValueError) -> InvalidRequestError:
    return InvalidRequestError(f"The image cannot be shown: {error}.")


def _look_up(
    store: ImageStore, paths: Iterable[str], name: str, generated_by: str
) -> tuple[str, bytes]:
    """Return id and bytes of a saved image.

    Raises:
        InvalidRequestError: This store saved none of that name, or not these bytes; or it is too
            large to be shown.
    """
    for path in paths:
        try:
            sidecar, content = store.read_whole(path, max_bytes=MAX_BYTES)
        except TooLargeError as error:
            raise _not_to_be_shown(error) from None
        except (OSError, ValueError):  # not there, not ours, not those bytes
            continue
        if sidecar.image_id == name or not _ID.fullmatch(name):
            return str(sidecar.image_id), content
    raise InvalidRequestError(
        f"There is no saved image {name[:_SHOWN]!r}. Give the short id or the path, or the "
        f"address, from an answer of {generated_by}; other files and links are not opened."
    )
