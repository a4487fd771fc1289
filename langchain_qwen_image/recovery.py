"""Recovery: what a ledger says of images that were paid for, or may have been, and are not saved.

Nothing here sends a POST. Links are fetched, which is free, and the ledger is told what came of it.
"""

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypedDict

from langchain_core.stores import ByteStore

from langchain_qwen_image.account.ledger import Ledger, LedgerCall, LedgerImage
from langchain_qwen_image.concurrency.threads import THREADS
from langchain_qwen_image.defaults import LEDGER_NAME, SANDBOX_URL
from langchain_qwen_image.errors import ConfigurationError, DownloadError
from langchain_qwen_image.generator import QwenImageGenerator
from langchain_qwen_image.result import GeneratedImage, ImageGenerationResult
from langchain_qwen_image.schemas import ImageParameters
from langchain_qwen_image.storage.opening import ImageStore, open_store
from langchain_qwen_image.wire.links import is_inline

__all__ = ["Finding", "Outcome", "Recovery", "ledger_at", "recover", "result_of"]

Outcome = Literal["found", "fetched", "fetchable", "failed", "lost", "unanswered"]
"""What became of it; `Finding` says what each means."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One image that was paid for and not known to be saved, or one call without an answer.

    Attributes:
        outcome: `found` on disk, with its sidecar; `fetched` now; `fetchable`, in a dry run;
            `failed` to be fetched this time; `lost`, for its link is dead; `unanswered`: sent,
            with no known answer, so it may have been billed.
        call: The call, as it stood before.
        path: Where the image is, when found or fetched.
        reason: Why there is none.
    """

    outcome: Outcome
    call: LedgerCall
    path: str | None = None
    reason: str | None = None

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left to worry about."""
        return self.outcome in ("found", "fetched")


def ledger_at(path: str | os.PathLike[str]) -> Path:
    """Return the path of a ledger's file, given it or the folder of images that it lies in."""
    given = Path(path).expanduser()
    return given / LEDGER_NAME if given.is_dir() else given


def recover(
    path: str | os.PathLike[str],
    *,
    save_to: str | os.PathLike[str] | ByteStore | None = None,
    dry_run: bool = False,
    now: datetime | None = None,
) -> Iterator[Finding]:
    """Fetch what can still be fetched, and yield all that a ledger does not know to be settled.

    An image that is saved already, as its sidecar says, is marked as saved and not fetched again.
    Calls of a bulk run that were asked again are yielded only where their image is had.

    Args:
        path: The folder of images, or the ledger's file.
        save_to: Where images are saved; by default where the ledger is.
        dry_run: Fetch nothing and write nothing; only say how things stand.
        now: The moment that decides which links are dead; the present by default.

    Raises:
        ConfigurationError: There is no ledger.
        LedgerError: It cannot be read or written.
    """
    file = ledger_at(path)
    if not file.is_file():
        raise ConfigurationError(f"There is no ledger at {file}.")
    ledger = Ledger(file)
    place = ledger.path.parent if save_to is None else save_to
    with closing(ledger), closing(_Fetchers(ledger.path, place)) as fetchers:
        recovery = Recovery(
            ledger,
            open_store(place),
            fetchers.fetch,
            dry_run=dry_run,
            now=now or datetime.now(UTC),
        )
        calls = list(ledger.calls(states=("sent", "queued", "unknown", "answered")))
        yield from _in_parallel(recovery.settle, calls)


class _Facts(TypedDict):
    sha256: str
    size_bytes: int


class _Fetchers:
    """One generator for each gateway; none of them generates anything here."""

    def __init__(self, ledger: Path, save_to: str | os.PathLike[str] | ByteStore) -> None:
        self._ledger = ledger
        self._save_to = save_to
        self._generators: dict[str, QwenImageGenerator] = {}
        self._lock = threading.Lock()

    def fetch(self, call: LedgerCall, image: LedgerImage) -> str | None:
        """Fetch and keep an image with all that the ledger knows of it, and return its path."""
        return self._generator(call.base_url).fetch(result_of(call, [image])).image.path

    def close(self) -> None:
        """Close the connections."""
        for generator in self._generators.values():
            generator.close()

    def _generator(self, base_url: str) -> QwenImageGenerator:
        with self._lock:
            if base_url not in self._generators:
                self._generators[base_url] = QwenImageGenerator(
                    base_url=base_url,
                    sandbox=base_url == SANDBOX_URL,
                    save_to=self._save_to,
                    ledger=self._ledger,
                )
            return self._generators[base_url]


def result_of(call: LedgerCall, images: Iterable[LedgerImage]) -> ImageGenerationResult:
    """Return what a call made, with these of its images, as far as the ledger knows it."""
    return ImageGenerationResult(
        images=[
            GeneratedImage(
                id=one.id,
                url=one.url,
                expires_at=one.expires_at,
                path=one.path,
                sha256=one.sha256,
                size_bytes=one.size_bytes,
                download_error=one.error,
            )
            for one in images
        ],
        prompt=call.prompt,
        parameters=ImageParameters(**call.parameters),
        model=call.model,
        request_id=call.request_id,
        cost_usd=float(call.cost_usd),
        created_at=call.updated_at,
        sandbox=call.base_url == SANDBOX_URL,
        call_id=call.id,
    )


class Recovery:
    """Finds out how things stand with one call after the other; safe for threads."""

    def __init__(
        self,
        ledger: Ledger,
        store: ImageStore,
        fetch: Callable[[LedgerCall, LedgerImage], str | None],
        *,
        dry_run: bool,
        now: datetime,
    ) -> None:
        """Take the books, the store, and what fetches an image and returns its path."""
        self._ledger = ledger
        self._store = store
        self._fetch_image = fetch
        self._dry_run = dry_run
        self._now = now

    def settle(self, call: LedgerCall) -> list[Finding]:
        """Return what is found of a call's images, or that it has no answer."""
        if call.state == "answered":
            findings = [self._settle(call, image) for image in call.images if image.path is None]
        else:
            findings = [Finding("unanswered", call, reason=call.message)] if call.cost_usd else []
        return [one for one in findings if one.is_settled or call.replaced_by is None]

    def _settle(self, call: LedgerCall, image: LedgerImage) -> Finding:
        found = self._find(image)
        if found is not None:
            return Finding("found", call, path=found)
        death = _death(image, self._now)
        if death is not None:
            return Finding("lost", call, reason=death)
        return Finding("fetchable", call) if self._dry_run else self._fetch(call, image)

    def _fetch(self, call: LedgerCall, image: LedgerImage) -> Finding:
        try:
            return Finding("fetched", call, path=self._fetch_image(call, image))
        except (DownloadError, OSError) as error:
            self._ledger.not_saved(image.id, str(error)).result()
            return Finding("failed", call, reason=str(error))

    def _find(self, image: LedgerImage) -> str | None:
        """Return the path of an image that was saved just before a crash, and mark it as saved."""
        for path in self._store.find(image.id):
            facts = self._whole(path, image.id)
            if facts is not None:
                if not self._dry_run:
                    self._ledger.saved(image.id, path=path, **facts).result()
                return path
        return None

    def _whole(self, path: str, image_id: str) -> _Facts | None:
        """Return an image's facts, if its sidecar says that it is that image and it is whole."""
        try:
            sidecar, data = self._store.read_whole(path)
        except (OSError, ValueError):  # no sidecar of ours, or no image
            return None
        if sidecar.image_id != image_id or sidecar.sha256 is None:
            return None
        return _Facts(sha256=sidecar.sha256, size_bytes=len(data))


def _in_parallel(
    settle: Callable[[LedgerCall], list[Finding]], calls: list[LedgerCall]
) -> Iterator[Finding]:
    """Yield the findings in the order of the calls; who stops early waits for few of them."""
    pool = ThreadPoolExecutor(THREADS)
    try:
        for findings in pool.map(settle, calls):
            yield from findings
    finally:
        pool.shutdown(cancel_futures=True)


def _death(image: LedgerImage, now: datetime) -> str | None:
    """Return why an image's link can bring it no more, or None if it may."""
    if is_inline(image.url):
        return "It came inside the answer and was not written to the disk."
    if image.expires_at is not None and image.expires_at <= now:
        return f"Its link expired at {image.expires_at:%Y-%m-%d %H:%M} UTC."
    return None
