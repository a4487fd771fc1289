"""One generated image: where it is, what is known of it, and how to get at its bytes."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import BaseModel, Field, PrivateAttr, field_serializer

from langchain_qwen_image.concurrency.threads import in_thread
from langchain_qwen_image.rendering.content_blocks import Kind, bytes_block, link_block, wants_bytes
from langchain_qwen_image.rendering.spinner import in_notebook
from langchain_qwen_image.storage.filenames import new_image_id, stem
from langchain_qwen_image.storage.user_file import UserFile, open_user_file
from langchain_qwen_image.wire.links import expires_at, is_inline, without_query

if TYPE_CHECKING:
    from langchain_core.messages.content import ImageContentBlock


class ImageSource(Protocol):
    """Where an image's bytes come from: the store where it is saved, else its link."""

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
        description="Link of the image, which anyone who has it can open and which expires within "
        "24 hours; or a data: URI.",
    )
    expires_at: datetime | None = Field(
        default=None, description="When the link expires, if known."
    )
    width: int | None = Field(default=None, description="Width in pixels.")
    height: int | None = Field(default=None, description="Height in pixels.")
    mime_type: str | None = Field(default=None, description="Type, from the image's own bytes.")
    path: str | None = Field(default=None, description="Path, address or store key, once saved.")
    public_url: str | None = Field(
        default=None,
        repr=False,
        description="Address at which a browser sees it, where the setting `public_url` is used.",
    )
    sha256: str | None = Field(default=None, description="Hash of the bytes, in hex.")
    size_bytes: int | None = Field(default=None, description="Size of the file in bytes.")
    download_error: str | None = Field(default=None, description="Why it could not be saved.")

    _source: ImageSource | None = PrivateAttr(default=None)
    _preview: bytes | None = PrivateAttr(default=None)
    _unsaved: bytes | None = PrivateAttr(default=None)
    _origin: tuple[str, datetime] | None = PrivateAttr(default=None)
    _told_path: str | None = PrivateAttr(default=None)

    @classmethod
    def from_link(cls, url: str, **known: Any) -> "GeneratedImage":
        """Take a link as the gateway gave it, and what else is known."""
        return cls(url=url, expires_at=expires_at(url), **known)

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

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write the image to a file, whole or not at all, and return its path.

        Args:
            path: The file. In a folder, or a path that ends in `/`, the image gets a name like
                that of saved images. Folders that are missing are made.
            overwrite: Replace a file that has the name.

        Raises:
            FileAlreadyExistsError: A file has the name, and `overwrite` is not set. Nothing was
                fetched; the image can be saved under another name.
            SaveError: It cannot be written there; it can still be saved elsewhere.
            DownloadError: The link could not be fetched, or was not safe to fetch.
        """
        file = open_user_file(path, overwrite=overwrite)
        return self._write(file, self.read())

    async def asave(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Async twin of `save`."""
        file = await in_thread(open_user_file, path, overwrite=overwrite)
        return await in_thread(self._write, file, await self.aread())

    def cached_bytes(self) -> bytes | None:
        """Return the image as far as it is here, in a notebook perhaps smaller; fetch nothing."""
        return self._bound_source().cached_bytes(self) or self._preview

    def to_content_block(self, kind: Kind = "base64") -> "ImageContentBlock":
        """Return the image as a standard content block, for a model that sees.

        Args:
            kind: `base64` for the image itself, from where it is saved or else its link; `url`
                for its public address, else for the link, which expires within a day and then
                breaks every later turn.

        Raises:
            DownloadError: It cannot be read, or its link has expired.
        """
        return bytes_block(self, self.read()) if wants_bytes(kind) else link_block(self)

    async def ato_content_block(self, kind: Kind = "base64") -> "ImageContentBlock":
        """Async twin of `to_content_block`."""
        return bytes_block(self, await self.aread()) if wants_bytes(kind) else link_block(self)

    def bind(self, source: ImageSource) -> None:
        """Say where the bytes come from; without it they come from the path or the link."""
        self._source = source

    @property
    def told_path(self) -> str | None:
        """The path as models and browsers may know it: where `public_url` is used, the key."""
        return self.path and (self._told_path or self.path)

    def publish(self, address: str | None, told_path: str) -> None:
        """Take the address of a saved image, and the path that is told outside this process."""
        self.public_url, self._told_path = address, told_path

    def set_origin(self, prompt: str, created_at: datetime) -> None:
        """Say what the image's file name is made from, as its result does."""
        self._origin = (prompt, created_at)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GeneratedImage) and self.model_dump() == other.model_dump()

    __hash__ = None  # type: ignore[assignment]

    def __getstate__(self) -> dict[Any, Any]:
        """Leave connections and stores behind: the copy reads from the path or the link."""
        private: dict[str, Any] = {"_source": None, "_preview": None, "_unsaved": None}
        private |= {"_origin": self._origin, "_told_path": self._told_path}
        return {**super().__getstate__(), "__pydantic_private__": private}

    def _repr_html_(self) -> str:
        from langchain_qwen_image.rendering.html import image_html

        return image_html(self)

    def _write(self, file: UserFile, content: bytes) -> Path:
        self._unsaved = content  # after an error it is still here, even when the link has expired
        path = file.write(content, self._name())
        self._unsaved = None
        return path

    def _name(self) -> str:
        """Return the name without suffix that the image has, or would get, where it is saved."""
        if self.path:
            return Path(self.path).stem
        prompt, created_at = self._origin or ("", datetime.now(UTC))
        return stem(prompt, self.id, created_at)

    def _remembered(self, content: bytes) -> bytes:
        if in_notebook():
            from langchain_qwen_image.rendering.html import preview

            self._preview = preview(content)
        return content

    def _bound_source(self) -> ImageSource:
        if self._unsaved is not None:
            return _HeldBytes(self._unsaved)
        if self._source is None:
            # Imported here: a result that is only looked at needs no HTTP library.
            from langchain_qwen_image.storage.reader import default_reader

            return default_reader(self)
        return self._source


class _HeldBytes:
    """The bytes of an image that could not be written: its link may have expired since."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def read(self, image: GeneratedImage) -> bytes:
        return self._content

    async def aread(self, image: GeneratedImage) -> bytes:
        return self._content

    def cached_bytes(self, image: GeneratedImage) -> bytes | None:
        return self._content
