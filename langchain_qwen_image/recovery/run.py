"""Go through a ledger, with what each of its gateways needs."""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from langchain_core.stores import ByteStore

from langchain_qwen_image.account.ledger import Ledger, LedgerCall, LedgerImage
from langchain_qwen_image.account.places import books_to_read, folder_of_books
from langchain_qwen_image.concurrency.threads import THREADS
from langchain_qwen_image.defaults import SANDBOX_URL
from langchain_qwen_image.errors import ConfigurationError
from langchain_qwen_image.pipeline.results import recorded_result
from langchain_qwen_image.recovery.settle import Finding, Recovery, Resume
from langchain_qwen_image.result import ImageGenerationResult
from langchain_qwen_image.settings import QwenImageSettings
from langchain_qwen_image.storage.opening import open_store

# A call that has no image by then is asked for at the next time.
_ASK_SECONDS = 30.0


def ledger_at(path: str | os.PathLike[str]) -> Path:
    """Return the path of a ledger's file, given it or the folder of images that it belongs to."""
    given = Path(path).expanduser()
    return books_to_read(given) if given.is_dir() else given


def recover(
    path: str | os.PathLike[str],
    *,
    save_to: str | os.PathLike[str] | ByteStore | None = None,
    dry_run: bool = False,
    raw_answers: str | os.PathLike[str] | None = None,
    resume: Resume | None = None,
    now: datetime | None = None,
) -> Iterator[Finding]:
    """Fetch what can still be fetched, and yield all that a ledger does not know to be settled.

    An image that is saved already, as its sidecar says, is marked as saved and not fetched again.
    Calls of a bulk run that were asked again are yielded only where their image is had.

    Args:
        path: The folder of images, or the ledger's file.
        save_to: Where images are saved; by default where the ledger is.
        dry_run: Fetch nothing, ask nothing, and note nothing; only say how things stand.
        raw_answers: A folder for answers in which no image was found, one file per call. They
            may hold links, which are secret. They stay in the ledger too.
        resume: Asks the gateway for a queued call; by default with the key of the environment.
        now: The moment that decides which links have expired; the present by default.

    Raises:
        ConfigurationError: There is no ledger.
        AccountError: It cannot be read or written.
    """
    file = ledger_at(path)
    if not file.is_file():
        raise ConfigurationError(f"There is no ledger at {file}.")
    ledger = Ledger(file)
    place = folder_of_books(ledger.path) if save_to is None else save_to
    with closing(ledger), closing(_Gateways(ledger.path, place)) as gateways:
        recovery = Recovery(
            ledger,
            open_store(place),
            gateways.fetch,
            resume=resume or gateways.resume,
            raw_answers=None if raw_answers is None else Path(raw_answers).expanduser(),
            dry_run=dry_run,
            now=now or datetime.now(UTC),
        )
        calls = list(ledger.calls(states=("sent", "queued", "unknown", "answered")))
        yield from _in_parallel(recovery.settle, calls)


class _Gateways:
    """What fetches and asks at the gateway of each call; it is never sent a POST."""

    def __init__(self, ledger: Path, save_to: str | os.PathLike[str] | ByteStore) -> None:
        self._ledger = ledger
        self._save_to = save_to
        self._settings: dict[str, QwenImageSettings] = {}
        self._lock = threading.Lock()

    def fetch(self, call: LedgerCall, image: LedgerImage) -> str | None:
        """Fetch and save an image with all that the ledger knows of it, and return its path."""
        result = recorded_result(call, [image])
        return self._of(call.base_url).pipeline.fetch(result).image.path

    def resume(self, call: LedgerCall) -> ImageGenerationResult | None:
        """Ask for a queued call once more, or some times."""
        return self._of(call.base_url).pipeline.resume(call)

    def close(self) -> None:
        """Close the connections."""
        for settings in self._settings.values():
            settings.close()

    def _of(self, base_url: str) -> QwenImageSettings:
        with self._lock:
            if base_url not in self._settings:
                self._settings[base_url] = QwenImageSettings(
                    base_url=base_url,
                    sandbox=base_url == SANDBOX_URL,
                    save_to=self._save_to,
                    ledger=self._ledger,
                    timeout=_ASK_SECONDS,
                )
            return self._settings[base_url]


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
