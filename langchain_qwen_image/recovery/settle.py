"""Settle one call: find, fetch or ask for its images, and note in the ledger what came of it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal, TypedDict

from langchain_qwen_image.account.ledger import Ledger, LedgerCall, LedgerImage
from langchain_qwen_image.account.raw_answers import write_out
from langchain_qwen_image.defaults import QUEUE_HOURS, SANDBOX_URL
from langchain_qwen_image.errors import DownloadError, QwenImageError
from langchain_qwen_image.result import GeneratedImage, ImageGenerationResult
from langchain_qwen_image.schemas import ImageParameters
from langchain_qwen_image.storage.opening import ImageStore
from langchain_qwen_image.wire.links import is_inline

Outcome = Literal[
    "found", "fetched", "fetchable", "failed", "lost", "queued", "refused", "unanswered"
]
"""What became of it; `Finding` says what each means."""

Resume = Callable[[LedgerCall], ImageGenerationResult | None]
"""Asks the gateway for a queued call, notes in the ledger what it says, and saves the image."""

# By these a host says that a link brings nothing any more (gateway-facts: an expired one is 403).
_GONE = (403, 404, 410)


@dataclass(frozen=True, slots=True)
class Finding:
    """One image that was paid for and not known to be saved, or one call without an answer.

    Attributes:
        outcome: `found` on disk, with its sidecar; `fetched` now; `fetchable`, in a dry run;
            `failed` to be fetched this time; `lost`: its link has expired, as its host says too,
            or by this machine's clock in a dry run; `queued`: the gateway has no image yet;
            `refused`: the gateway says now that it failed, and nothing was billed; `unanswered`:
            sent, with no known answer, so it may have been billed.
        call: The call, as it stood before.
        path: Where the image is, when found or fetched.
        reason: Why there is none.
        raw_answer: File that the call's raw answer was written to; `call.has_raw_answer` says
            whether there is one.
    """

    outcome: Outcome
    call: LedgerCall
    path: str | None = None
    reason: str | None = None
    raw_answer: Path | None = None

    @property
    def is_settled(self) -> bool:
        """Whether nothing needs attention any more."""
        return self.outcome in ("found", "fetched", "refused")


class _Facts(TypedDict):
    sha256: str
    size_bytes: int


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
        resume: Resume | None = None,
        raw_answers: Path | None = None,
    ) -> None:
        """Take the ledger, the store, what fetches an image and returns its path, and options."""
        self._ledger = ledger
        self._store = store
        self._fetch_image = fetch
        self._resume = resume
        self._raw_answers = raw_answers
        self._dry_run = dry_run
        self._now = now

    def settle(self, call: LedgerCall) -> list[Finding]:
        """Return what is found of a call's images, or that it has no answer."""
        raw_answer = self._write_out(call)
        problem = self._ask(call) if call.state == "queued" and not self._dry_run else None
        findings = self._findings(call, self._ledger.get(call.id) or call, problem)
        return [
            replace(one, raw_answer=raw_answer)
            for one in findings
            if one.is_settled or call.replaced_by is None
        ]

    def _findings(self, call: LedgerCall, now: LedgerCall, problem: str | None) -> list[Finding]:
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
        return [Finding("unanswered", call, reason=now.message)] if may_be_billed else []

    def _ask(self, call: LedgerCall) -> str | None:
        """Ask the gateway for a queued call, and return why there is no image yet, if it said."""
        problem = None
        try:
            if self._resume is not None:
                self._resume(call)
        except (QwenImageError, OSError) as error:
            problem = str(error)
        now = self._ledger.get(call.id)
        if now is not None and now.state == "queued":
            if self._now - call.created_at <= timedelta(hours=QUEUE_HOURS):
                return problem
            message = f"The gateway queued it and had no image after {QUEUE_HOURS} hours."
            error_name = "RequestTimeoutError"
            self._ledger.unknown(call.id, error=error_name, message=message).result()
        return problem

    def _write_out(self, call: LedgerCall) -> Path | None:
        if self._raw_answers is None or not call.has_raw_answer:
            return None
        body = self._ledger.read_raw_answer(call.id)
        return None if body is None else write_out(self._raw_answers, call.id, body)

    def _settle(self, call: LedgerCall, image: LedgerImage) -> Finding:
        found = self._find(image)
        if found is not None:
            return Finding("found", call, path=found)
        if is_inline(image.url):
            reason = "It came inside the answer and was not written to the disk."
            return Finding("lost", call, reason=reason)
        if not self._dry_run:
            return self._fetch(call, image)
        expired = self._expired(image)
        return Finding("fetchable" if expired is None else "lost", call, reason=expired)

    def _fetch(self, call: LedgerCall, image: LedgerImage) -> Finding:
        try:
            return Finding("fetched", call, path=self._fetch_image(call, image))
        except (QwenImageError, OSError) as error:
            self._ledger.not_saved(image.id, str(error)).result()
            expired = self._expired(image)
            # A clock may be wrong (WSL#10006), so that only the host's answer says that it is gone.
            is_gone = isinstance(error, DownloadError) and error.status_code in _GONE
            if expired is not None and is_gone:
                return Finding("lost", call, reason=f"{expired} {error}")
            return Finding("failed", call, reason=str(error))

    def _expired(self, image: LedgerImage) -> str | None:
        """Return since when a link has expired by this machine's clock; None if it has not."""
        if image.expires_at is None or image.expires_at > self._now:
            return None
        return f"Its link expired at {image.expires_at:%Y-%m-%d %H:%M} UTC by this machine's clock."

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
        parameters=ImageParameters.model_construct(**call.parameters),  # any size that was sent
        model=call.model,
        request_id=call.request_id,
        cost_usd=float(call.cost_usd),
        created_at=call.updated_at,
        sandbox=call.base_url == SANDBOX_URL,
        call_id=call.id,
    )
