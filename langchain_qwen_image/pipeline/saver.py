"""Fetches and saves: from a link to a file with everything known about it."""

import logging
import tempfile
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from functools import cache, partial
from pathlib import Path

from langchain_qwen_image.account.reader import AccountReader
from langchain_qwen_image.download.fetcher import Fetcher
from langchain_qwen_image.errors import QwenImageError
from langchain_qwen_image.result import GeneratedImage, ImageGenerationResult
from langchain_qwen_image.storage.opening import ImageStore, open_store
from langchain_qwen_image.storage.public_url import Addresses, AddressOf
from langchain_qwen_image.storage.reader import ImageReader, make_fetcher, note_info
from langchain_qwen_image.storage.sidecar import Sidecar
from langchain_qwen_image.wire.links import is_inline, without_query

logger = logging.getLogger("langchain_qwen_image")


class ImageSaver(ImageReader):
    """Fetches images, saves them where the caller wants them, and reads them back.

    Under asyncio the caller runs `save` in a thread: a cancelled task must not lose an image.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        store: ImageStore | None = None,
        account: AccountReader | None = None,
        addresses: Addresses | None = None,
    ) -> None:
        """Take what fetches links, where images are saved and seen, and the account of calls."""
        super().__init__(fetcher, store)
        self._account = account
        self._addresses = addresses

    def wants(self, image: GeneratedImage, *, inline: bool) -> bool:
        """Say whether an image is to be saved.

        With `inline`, also one that came inside the answer and has no store: nothing else holds it.
        """
        is_orphan = inline and image.url is not None and is_inline(image.url)
        return image.path is None and (self._store is not None or is_orphan)

    def save(
        self, image: GeneratedImage, result: ImageGenerationResult, *, item_id: str | None = None
    ) -> Exception | None:
        """Save one image, and note on it where, or in `download_error` why not.

        Returns:
            Why it was not saved, or None. It may be a `DownloadError` that says `not_an_image`.
        """
        try:
            self.save_or_raise(image, result, item_id=item_id)
        except Exception as error:  # the image is paid for: a store's own errors count too
            problem = str(error) or type(error).__name__
            addresses = self._addresses
            image.download_error = (
                problem if addresses is None else addresses.without_paths(problem)
            )
            logger.warning("image %s is paid for but could not be saved: %s", image.id, problem)
            return error.with_traceback(None)
        return None

    def save_or_raise(
        self, image: GeneratedImage, result: ImageGenerationResult, *, item_id: str | None = None
    ) -> None:
        """Save one image and note on it where.

        Args:
            image: The image; what its bytes say is noted on it too.
            result: What it came with, for the sidecar.
            item_id: The caller's own id of the request, for file name and sidecar.

        Raises:
            DownloadError: The link could not be fetched, or was not safe to fetch; it says in
                `not_an_image` that something else than an image came.
            SaveError: The disk is full, or the folder cannot be written.
        """
        address_of = None if self._addresses is None else cache(self._addresses.of_key)
        sidecar = replace(self._sidecar(image, result, item_id), address_of=address_of)
        saved = (self._store or _last_resort()).save(partial(self._fetch, image), sidecar)
        note_info(image, saved.info)
        image.path, image.download_error = saved.path, None
        self.publish(image, address_of)
        logger.info("image %s is saved at %s", image.id, saved.path)

    def publish(self, image: GeneratedImage, address_of: AddressOf | None = None) -> None:
        """Say on a saved image where a browser sees it, by the settings of now; it may block.

        Args:
            image: The image.
            address_of: Gives addresses by keys; by default the settings do.
        """
        if self._addresses is not None:
            self._addresses.note_on(image, address_of)

    def published(self, result: ImageGenerationResult) -> ImageGenerationResult:
        """Find the images of a result of another caller, and say where a browser sees them."""
        for image in result.images:
            if self._store is not None and image.path and not Path(image.path).is_absolute():
                image.path = self._store.locate(image.path) or image.path
            self.publish(image)
        return result

    def _sidecar(
        self, image: GeneratedImage, result: ImageGenerationResult, item_id: str | None
    ) -> Sidecar:
        """Say what is known of an image; its call's key too, by which an account is rebuilt."""
        call = None
        if self._account is not None and result.call_id is not None:
            with suppress(QwenImageError):  # the image matters more
                call = self._account.get(result.call_id)
        cost = result.first_cost_usd if result.replayed else result.cost_usd
        return Sidecar(
            image_id=image.id,
            call_id=result.call_id,
            item_id=item_id,
            gateway=None if call is None else call.base_url,
            run=None if call is None or not call.run else call.run,
            key=None if call is None else call.key,
            prompt=result.prompt,
            parameters=result.parameters.model_dump(mode="json"),
            model=result.model,
            request_id=result.request_id,
            finish_reason=result.finish_reason,
            url=without_query(image.url or ""),
            cost_usd=None if cost is None else Decimal(str(cost)),
            created_at=result.created_at,
            sandbox=result.sandbox,
            warnings=tuple(result.warnings),
        )


def rescue(image: GeneratedImage, result: ImageGenerationResult) -> None:
    """Save an image that came inside the answer and could not be saved into a temporary folder."""
    ImageSaver(make_fetcher(sandbox=False, allow_loopback=False)).save(image, result)


@cache
def _last_resort() -> ImageStore:
    """Return a temporary folder, for an image that came inline and was given no place."""
    return open_store(tempfile.mkdtemp(prefix="qwen-image-"))
