"""Results: for programs as objects, for agents as one sentence and an artifact of plain JSON."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from pydantic import BaseModel, Field, PrivateAttr, ValidationError, field_serializer

from langchain_qwen_image.artifact import SCHEMA, ResultArtifact
from langchain_qwen_image.errors import InvalidRequestError
from langchain_qwen_image.rendering.content_blocks import (
    Kind,
    Role,
    bytes_block,
    link_block,
    message_of,
    wants_bytes,
)
from langchain_qwen_image.rendering.spinner import in_notebook
from langchain_qwen_image.schemas import MODEL, ImageParameters, QwenImageInput
from langchain_qwen_image.storage.filenames import new_image_id
from langchain_qwen_image.wire.arguments import explain
from langchain_qwen_image.wire.links import expires_at, is_inline, without_query

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage, HumanMessage
    from langchain_core.messages.content import ImageContentBlock


class ImageSource(Protocol):
    """Where an image's bytes come from: the store that keeps it, else its link."""

    def read(self, image: "GeneratedImage") -> bytes:
        """Return the image's bytes, or raise `DownloadError`."""

    async def aread(self, image: "GeneratedImage") -> bytes:
        """Return the image's bytes, or raise `DownloadError`."""

    def cached_bytes(self, image: "GeneratedImage") -> bytes | None:
        """Return the image's bytes if they need not be fetched."""


class GeneratedImage(BaseModel):
    """One image: its link, and what is known of it since it was fetched and saved."""

    id: str = Field(default_factory=new_image_id, description="Short id, unique among saved files.")
    url: str | None = Field(
        default=None,
        repr=False,
        description="Link of the image, a bearer secret that dies within a day; or a data: URI.",
    )
    expires_at: datetime | None = Field(default=None, description="When the link dies, if known.")
    width: int | None = Field(default=None, description="Width in pixels.")
    height: int | None = Field(default=None, description="Height in pixels.")
    mime_type: str | None = Field(default=None, description="Type, from the image's own bytes.")
    path: str | None = Field(default=None, description="Path or store key, once saved.")
    sha256: str | None = Field(default=None, description="Hash of the bytes, in hex.")
    size_bytes: int | None = Field(default=None, description="Size of the file in bytes.")
    download_error: str | None = Field(default=None, description="Why it could not be saved.")

    _source: ImageSource | None = PrivateAttr(default=None)
    _preview: bytes | None = PrivateAttr(default=None)

    @classmethod
    def from_link(
        cls, url: str, *, width: int | None = None, height: int | None = None
    ) -> "GeneratedImage":
        """Take a link as the gateway gave it."""
        return cls(url=url, expires_at=expires_at(url), width=width, height=height)

    @field_serializer("url")
    def _without_secret(self, url: str | None) -> str | None:
        """Leave the signature out of whatever is dumped once the image is saved, as traces are."""
        if url is None or self.path is None:
            return url
        return None if is_inline(url) else without_query(url)

    def read(self) -> bytes:
        """Return the image's bytes: from where it is saved, else from its link.

        Raises:
            DownloadError: The link could not be fetched, or was not safe to fetch.
        """
        return self._remembered(self._bound_source().read(self))

    async def aread(self) -> bytes:
        """Async twin of `read`."""
        return self._remembered(await self._bound_source().aread(self))

    def save(self, path: str | Path) -> Path:
        """Write the image to `path`, whole or not at all, and return the path.

        Raises:
            DownloadError: The link could not be fetched, or was not safe to fetch.
            FileExistsError: Something is there already; it is never overwritten.
        """
        from langchain_qwen_image.storage.atomic import write_new_file

        return write_new_file(Path(path), self.read())

    async def asave(self, path: str | Path) -> Path:
        """Async twin of `save`."""
        from langchain_qwen_image.storage.atomic import awrite_new_file

        return await awrite_new_file(Path(path), await self.aread())

    def cached_bytes(self) -> bytes | None:
        """Return the image as far as it is here, in a notebook perhaps smaller; fetch nothing."""
        return self._bound_source().cached_bytes(self) or self._preview

    def to_content_block(self, kind: Kind = "base64") -> "ImageContentBlock":
        """Return the image as a standard content block, for a model that sees.

        Args:
            kind: `base64` for the image itself, from where it is saved or else its link; `url`
                for the link, which dies within a day and then spoils the whole conversation.

        Raises:
            DownloadError: It cannot be read, or its link is dead.
        """
        return bytes_block(self, self.read()) if wants_bytes(kind) else link_block(self)

    async def ato_content_block(self, kind: Kind = "base64") -> "ImageContentBlock":
        """Async twin of `to_content_block`."""
        return bytes_block(self, await self.aread()) if wants_bytes(kind) else link_block(self)

    def bind(self, source: ImageSource) -> None:
        """Say where the bytes come from; without it they come from the path or the link."""
        self._source = source

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GeneratedImage) and self.model_dump() == other.model_dump()

    __hash__ = None  # type: ignore[assignment]

    def __getstate__(self) -> dict[Any, Any]:
        """Leave connections and stores behind: the copy reads from the path or the link."""
        nothing = {"_source": None, "_preview": None}
        return {**super().__getstate__(), "__pydantic_private__": nothing}

    def _repr_html_(self) -> str:
        from langchain_qwen_image.rendering.html import image_html

        return image_html(self)

    def _remembered(self, content: bytes) -> bytes:
        if in_notebook():
            from langchain_qwen_image.rendering.html import preview

            self._preview = preview(content)
        return content

    def _bound_source(self) -> ImageSource:
        if self._source is None:
            # Imported here: a result that is only looked at needs no HTTP library.
            from langchain_qwen_image.storage.reader import default_reader

            return default_reader(self)
        return self._source


class ImageGenerationResult(BaseModel):
    """What one call made: at least one image, and what it cost.

    Attributes:
        images: The images, at least one.
        prompt: What was asked for.
        parameters: The four parameters as they were sent.
        model: The model asked.
        request_id: The gateway's name of the call, to quote to its support.
        finish_reason: As the gateway gave it; documented only as `stop`.
        cost_usd: Price of the call in US dollars; 0 in the sandbox.
        created_at: When the answer came, in UTC.
        sandbox: True when the images are placeholders of the sandbox.
        call_id: Id of the call in the ledger and in progress events, if it is known.
        warnings: What was unusual about the answer, each in one sentence; mostly empty.
    """

    images: list[GeneratedImage] = Field(min_length=1)
    prompt: str
    parameters: ImageParameters
    model: str = MODEL
    request_id: str | None = None
    finish_reason: str | None = None
    cost_usd: float = Field(ge=0)
    created_at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    sandbox: bool = False
    call_id: str | None = None
    warnings: list[str] = Field(default_factory=list)

    @property
    def image(self) -> GeneratedImage:
        """The first image, which is nearly always the only one."""
        return self.images[0]

    def to_artifact(self) -> ResultArtifact:
        """Return the result as plain JSON, without bytes: an inline image's `url` is None."""
        artifact: Any = {"schema": SCHEMA, **self.model_dump(mode="json")}
        for image in artifact["images"]:
            if image["url"] and is_inline(image["url"]):
                image["url"] = None
        return artifact  # type: ignore[no-any-return]

    @classmethod
    def from_artifact(cls, artifact: Mapping[str, Any]) -> Self:
        """Bring a result back from `message.artifact`.

        Raises:
            InvalidRequestError: It is not an artifact of this package.
        """
        try:
            return cls.model_validate(artifact)
        except ValidationError as error:
            problem = explain(error)
        raise InvalidRequestError(
            f"Expected the artifact of a generate_image message, got something else: {problem}"
        )

    @property
    def arguments(self) -> QwenImageInput:
        """The arguments of the call, to ask for the like of it again."""
        return QwenImageInput(prompt=self.prompt, **self.parameters.model_dump())

    def to_content_block(self, kind: Kind = "base64") -> "ImageContentBlock":
        """Return the first image as `GeneratedImage.to_content_block` does."""
        return self.image.to_content_block(kind)

    async def ato_content_block(self, kind: Kind = "base64") -> "ImageContentBlock":
        """Async twin of `to_content_block`."""
        return await self.image.ato_content_block(kind)

    def to_message(self, kind: Kind = "base64", *, role: Role = "ai") -> "AIMessage | HumanMessage":
        """Return a message of the prompt and all images, in standard content blocks.

        With `role="human"` it can be shown to any vision model; most take no images from `ai`.

        Raises:
            DownloadError: An image cannot be read, or its link is dead.
        """
        return message_of(self.prompt, [one.to_content_block(kind) for one in self.images], role)

    async def ato_message(
        self, kind: Kind = "base64", *, role: Role = "ai"
    ) -> "AIMessage | HumanMessage":
        """Async twin of `to_message`."""
        blocks = [await one.ato_content_block(kind) for one in self.images]
        return message_of(self.prompt, blocks, role)

    def _repr_html_(self) -> str:
        from langchain_qwen_image.rendering.html import result_html

        return result_html(self)

    def summary(self) -> str:
        """Return the sentence for a model: what was made, where it is, what it cost."""
        from langchain_qwen_image.rendering.summary import sentence

        return sentence(self)
