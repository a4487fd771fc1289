"""Go through an account, with what each of its gateways needs."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from langchain_core.stores import ByteStore

from langchain_qwen_image.account.marker import replace_marker
from langchain_qwen_image.account.records import CallRecord, State
from langchain_qwen_image.concurrency.threads import THREADS
from langchain_qwen_image.errors import ConfigurationError
from langchain_qwen_image.recovery.books import open_books
from langchain_qwen_image.recovery.gateways import Gateways
from langchain_qwen_image.recovery.settle import Finding, Recovery, Resume
from langchain_qwen_image.recovery.shelf import Shelf
from langchain_qwen_image.storage.opening import open_store

_UNSETTLED: tuple[State, ...] = ("sent", "queued", "unknown", "answered")


def recover(
    path: str | os.PathLike[str],
    *,
    account: str | os.PathLike[str] | None = None,
    save_to: str | os.PathLike[str] | ByteStore | None = None,
    base_url: str | None = None,
    dry_run: bool = False,
    rebuild: bool = False,
    raw_answers: str | os.PathLike[str] | None = None,
    resume: Resume | None = None,
    now: datetime | None = None,
) -> Iterator[Finding]:
    """Fetch what can still be fetched, and yield all that an account does not know to be settled.

    An image that is saved already, as its sidecar says, is marked as saved and not fetched again.
    A call without a known answer whose image is in the folder, with its sidecar, is booked as
    answered; so is one that the folder's account does not know at all. A call that is under way in
    another process is left alone. Calls that were asked again are yielded only where their image
    is had.

    Args:
        path: The folder of images, the address of a place in an object store, or an account: its
            file or its `postgresql://` address.
        account: The account of the folder; by default the one that a call would use.
        save_to: Where images are saved; by default the folder that the account belongs to.
        base_url: The gateway that is asked for queued images; by default the environment's. No
            other one is, and links lead to this machine only where this gateway is.
        dry_run: Fetch nothing, ask nothing, and note nothing; only say how things stand.
        rebuild: Make a new account for a folder that lost its own: of the images in it that have a
            sidecar. They are not paid for again.
        raw_answers: A folder for answers in which no image was found, one file per call. They
            may hold links, which are secret. They stay in the account too.
        resume: Asks the gateway for a queued call; by default with the key of the environment.
        now: The moment that decides which links have expired; the present by default.

    Raises:
        ConfigurationError: There is no account, or no place for images.
        AccountError: It cannot be read or written, or the folder lost it.
    """
    if rebuild and dry_run:
        raise ConfigurationError("A dry run cannot rebuild an account.")
    moment = now or datetime.now(UTC)
    opened = open_books(path, account, changes=not dry_run, rebuilds=rebuild)
    books = opened.account
    place = opened.address or opened.folder if save_to is None else save_to
    if place is None and not dry_run:
        raise ConfigurationError("Say where images are saved: save_to=…, or --save-to DIR.")
    with closing(books), closing(Gateways(books, place, base_url)) as gateways:
        if not dry_run:
            books.expire().result()
        store = None if place is None else open_store(place)
        shelf = Shelf(books, store, gateways.base_url, dry_run=dry_run, now=moment)
        enters = rebuild or opened.has_folder
        seen = set()
        for finding in shelf.book(enters=enters, also_without_image=rebuild):
            seen.add(finding.call.id)
            yield finding
        if rebuild and opened.folder is not None:
            replace_marker(opened.folder, books.prepare().result())
        calls = books.calls(states=_UNSETTLED)
        rest = [call for call in calls if not (dry_run and call.id in seen)]
        recovery = Recovery(
            books,
            store,
            gateways.fetch,
            resume=resume or gateways.resume,
            raw_answers=None if raw_answers is None else Path(raw_answers).expanduser(),
            dry_run=dry_run,
            now=moment,
            unsaved=rest,
        )
        yield from _in_parallel(recovery.settle, rest)


def _in_parallel(
    settle: Callable[[CallRecord], list[Finding]], calls: list[CallRecord]
) -> Iterator[Finding]:
    """Yield the findings in the order of the calls; who stops early waits for few of them."""
    pool = ThreadPoolExecutor(THREADS)
    try:
        for findings in pool.map(settle, calls):
            yield from findings
    finally:
        pool.shutdown(cancel_futures=True)
