"""Settle one call: find, fetch or ask for its images, and note in the account what came of it."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from langchain_qwen_image.account.account import Account
from langchain_qwen_image.account.raw_answers import write_out
from langchain_qwen_image.account.records import CallRecord, ImageRecord
from langchain_qwen_image.defaults import QUEUE_HOURS
from langchain_qwen_image.errors import QwenImageError
from langchain_qwen_image.pipeline.lost import INLINE, expired, why_lost
from langchain_qwen_image.result import ImageGenerationResult
from langchain_qwen_image.storage.opening import ImageStore
from langchain_qwen_image.wire.links import is_inline

Outcome = Literal[
    "found",
    "booked",
    "fetched",
    "fetchable",
    "failed",
    "lost",
    "queued",
    "running",
    "refused",
    "unanswered",
]
"""What became of it; `Finding` says what each means."""

Resume = Callable[[CallRecord], ImageGenerationResult | None]
"""Asks the gateway for a queued call, notes in the account what it says, and saves the image."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One image that was paid for and not known to be saved, or one call without an answer.

    Attributes:
        outcome: `found` on disk, with its sidecar; `booked`: so too, and the account did not know
            that it was answered; `fetched` now; `fetchable`, in a dry run;
            `failed` to be fetched this time; `lost`: its link has expired, as its host says too,
            or by this machine's clock in a dry run; `queued`: the gateway has no image yet;
            `running`: under way, perhaps in another process;
            `refused`: the gateway says now that it failed, and nothing was billed; `unanswered`:
            sent, with no known answer, so it may have been billed.
        call: The call, as it stood before.
        path: Where the image is, when found or fetched.
        reason: Why there is none.
        raw_answer: File that the call's raw answer was written to; `call.has_raw_answer` says
            whether there is one.
    """

    outcome: Outcome
    call: CallRecord
    path: str | None = None
    reason: str | None = None
    raw_answer: Path | None = None

    @property
    def is_settled(self) -> bool:
        """Whether nothing needs attention any more."""
        return self.outcome in ("found", "booked", "fetched", "refused")


class Recovery:
    """Finds out how things stand with one call after the other; safe for threads."""

    def __init__(
        self,
        account: Account,
        store: ImageStore | None,
        fetch: Callable[[CallRecord, ImageRecord], str | None],
        *,
        dry_run: bool,
        now: datetime,
        resume: Resume | None = None,
        raw_answers: Path | None = None,
        unsaved: Iterable[CallRecord] = (),
    ) -> None:
        """Take the account, the store, what fetches an image and returns its path, and options.

        For the images of `unsaved` the store is walked through, once.
        """
        self._account = account
        self._store = store
        self._fetch_image = fetch
        self._resume = resume
        self._raw_answers = raw_answers
        self._dry_run = dry_run
        self._now = now
        ids = (one.id for call in unsaved for one in call.images if one.path is None)
        self._named: dict[str, list[str]] = defaultdict(list)
        for image_id, path in () if store is None else store.find_many(ids):
            self._named[image_id].append(path)

    def settle(self, call: CallRecord) -> list[Finding]:
        """Return what is found of a call's images, or that it has no answer."""
        raw_answer = self._write_out(call)
        problem = self._ask(call) if call.state == "queued" and not self._dry_run else None
        findings = self._findings(call, self._account.get(call.id) or call, problem)
        return [
            replace(one, raw_answer=raw_answer)
            for one in findings
            if one.is_settled or call.replaced_by is None
        ]

    def _findings(self, call: CallRecord, now: CallRecord, problem: str | None) -> list[Finding]:
        """Compare a call as it was before with how it is now."""
        if now.state == "saved":
            return [Finding("fetched", call, path=image.path) for image in now.images]
        if now.state == "answered":
            return [self._settle(call, image) for image in now.images if image.path is None]
        if now.state == "queued":
            return [Finding("queued", call, reason=problem or "The gateway has no image yet.")]
        if now.state in ("asked", "refused"):
            return [Finding("refused", call, reason=now.message)]
        may_be_billed = now.cost_usd or now.has_raw_answer
        if not may_be_billed:
            return []
        if now.state == "sent" and now.lease_until is not None and now.lease_until > self._now:
            until = f"{now.lease_until:%H:%M:%S} UTC"
            return [Finding("running", call, reason=f"It is under way, until {until} at most.")]
        return [Finding("unanswered", call, reason=now.message)]

    def _ask(self, call: CallRecord) -> str | None:
        """Ask the gateway for a queued call, and return why there is no image yet, if it said."""
        problem = None
        try:
            if self._resume is not None:
                self._resume(call)
        except (QwenImageError, OSError) as error:
            problem = str(error)
        now = self._account.get(call.id)
        if now is not None and now.state == "queued":
            if self._now - call.created_at <= timedelta(hours=QUEUE_HOURS):
                return problem
            message = f"The gateway queued it and had no image after {QUEUE_HOURS} hours."
            error_name = "RequestTimeoutError"
            self._account.unknown(call.id, error=error_name, message=message).result()
        return problem

    def _write_out(self, call: CallRecord) -> Path | None:
        if self._raw_answers is None or not call.has_raw_answer:
            return None
        body = self._account.read_raw_answer(call.id)
        return None if body is None else write_out(self._raw_answers, call.id, body)

    def _settle(self, call: CallRecord, image: ImageRecord) -> Finding:
        found = self._find(image)
        if found is not None:
            return Finding("found", call, path=found)
        if is_inline(image.url):
            return Finding("lost", call, reason=INLINE)
        if not self._dry_run:
            return self._fetch(call, image)
        since = expired(image, self._now)
        return Finding("fetchable" if since is None else "lost", call, reason=since)

    def _fetch(self, call: CallRecord, image: ImageRecord) -> Finding:
        try:
            return Finding("fetched", call, path=self._fetch_image(call, image))
        except (QwenImageError, OSError) as error:
            self._account.not_saved(image.id, str(error)).result()
            lost = why_lost(image, error, self._now)
            if lost is not None:
                return Finding("lost", call, reason=lost)
            return Finding("failed", call, reason=str(error))

    def _find(self, image: ImageRecord) -> str | None:
        """Return the path of an image that was saved just before a crash, and mark it as saved."""
        named = self._named.get(image.id, [])
        found = None if self._store is None else self._store.first_whole(image.id, named)
        if found is None:
            return None
        path, sidecar = found
        if not self._dry_run:
            sha256, size = sidecar.sha256 or "", sidecar.size_bytes or 0
            self._account.saved(image.id, path=path, sha256=sha256, size_bytes=size).result()
        return path
