"""Hands out again what an earlier call bought: from the disk, else by its link while that lives."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from langchain_qwen_image.account.records import CallRecord, ImageRecord
from langchain_qwen_image.errors import DownloadError
from langchain_qwen_image.pipeline.copies import find_copy
from langchain_qwen_image.pipeline.lost import INLINE, expired, why_lost
from langchain_qwen_image.pipeline.results import recorded_result
from langchain_qwen_image.pipeline.saver import ImageSaver
from langchain_qwen_image.result import GeneratedImage, ImageGenerationResult
from langchain_qwen_image.storage.opening import ImageStore, store_around
from langchain_qwen_image.storage.sidecar import Sidecar
from langchain_qwen_image.wire.links import is_inline

_MISSING_FILE = "It was saved as {path}, which does not exist any more."


@dataclass(slots=True)
class Replay:
    """What was found of a call that was paid for.

    Attributes:
        result: The call's own result, as far as it is known.
        settled: Images that were found or fetched just now, or could not be, to be booked.
        lost: Why one of its images cannot be had any more; None if all can.
    """

    result: ImageGenerationResult
    settled: list[GeneratedImage] = field(default_factory=list)
    lost: str | None = None

    def handed_out(self) -> ImageGenerationResult:
        """Return the result for a call that paid nothing.

        Raises:
            DownloadError: An image cannot be had any more.
        """
        if self.lost is None:
            return self.result.as_replayed()
        error = DownloadError(
            f"The image of this key was paid for by an earlier call, and is lost. {self.lost} "
            "Nothing was sent. To pay for it again, pass retry_lost=True."
        )
        error.is_lost = True
        raise error


def replay(
    saver: ImageSaver, call: CallRecord, *, item_id: str | None = None, now: datetime | None = None
) -> Replay:
    """Bring back what a call bought; blocking, free of charge, and nothing is booked.

    Args:
        saver: Where images are saved, and what fetches them.
        call: A call in state `answered` or `saved`.
        item_id: The caller's own id of the request, for files that are written now.
        now: The moment that decides which links have expired; the present by default.
    """
    found = Replay(recorded_result(call, call.images))
    for image, row in zip(found.result.images, call.images, strict=True):
        image.bind(saver)
        lost = _bring_back(saver, found, image, call, row, item_id, now or datetime.now(UTC))
        found.lost = found.lost or lost
    return found


def _bring_back(
    saver: ImageSaver,
    found: Replay,
    image: GeneratedImage,
    call: CallRecord,
    row: ImageRecord,
    item_id: str | None,
    now: datetime,
) -> str | None:
    """Bring one image back, and return why it is lost, if it is."""
    if row.path is not None and _is_on_disk(saver, image, row.path):
        return None
    walks = row.path is not None or is_inline(row.url) or expired(row, now) is not None
    copy = None
    if saver.store is not None:
        copy = find_copy(saver.store, call, row, walks=walks, item_id=item_id)
    if copy is not None:
        image.path, sidecar = copy
        image.sha256, image.size_bytes = sidecar.sha256, sidecar.size_bytes
        image.download_error = None
        saver.publish(image)
        _describe(image, sidecar)
        found.settled.append(image)
        return None
    if row.path is not None:
        image.path = None
        return _MISSING_FILE.format(path=row.path)
    if is_inline(row.url):
        return INLINE
    if saver.store is not None:
        error = saver.save(image, found.result, item_id=item_id)
        found.settled.append(image)
        return None if error is None else why_lost(row, error, now)
    if expired(row, now) is None:
        return None
    try:
        saver.read(image)
    except DownloadError as error:
        return why_lost(row, error, now)
    return None


def _is_on_disk(saver: ImageSaver, image: GeneratedImage, path: str) -> bool:
    """Say whether an image is where it was saved, and note what its sidecar says."""
    if saver.store is not None and (here := saver.store.locate(path)) is not None:
        image.path = here
        saver.publish(image)
        _describe(image, _sidecar_of(saver.store, here))
        return True
    elsewhere = store_around(path)  # saved by another one, for whom it lies in another place
    if elsewhere is None:
        return False
    sidecar = _sidecar_of(elsewhere, path)
    if sidecar.image_id != image.id or elsewhere.locate(path) is None:
        return False
    image.bind(saver.of_another(elsewhere))
    saver.publish(image)
    _describe(image, sidecar)
    return True


def _sidecar_of(store: ImageStore, path: str) -> Sidecar:
    """Return what lies beside an image; one without it is an image all the same."""
    try:
        return store.read_sidecar(path)
    except (OSError, ValueError):
        return Sidecar()


def _describe(image: GeneratedImage, sidecar: Sidecar) -> None:
    image.width, image.height = sidecar.width, sidecar.height
    image.mime_type = sidecar.mime_type
