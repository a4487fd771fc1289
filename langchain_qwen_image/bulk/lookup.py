"""What the ledger knows of a bulk run's requests, so that nothing is paid for twice."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal, NamedTuple
from uuid import uuid4

from langchain_qwen_image.account.account import Account
from langchain_qwen_image.account.records import LedgerCall, LedgerImage
from langchain_qwen_image.errors import ConfigurationError, QwenImageError
from langchain_qwen_image.pipeline.pipeline import Pipeline
from langchain_qwen_image.pipeline.results import recorded_result
from langchain_qwen_image.recovery import Finding, Recovery
from langchain_qwen_image.result import GeneratedImage, ImageGenerationResult
from langchain_qwen_image.storage.opening import ImageStore

BulkStatus = Literal["saved", "reused", "unsaved", "unknown", "lost", "failed"]
"""What became of a request; `BulkOutcome` says what each means."""

_NO_ANSWER = "It was sent and no answer is known; it may have been billed"
_QUEUED = "The gateway has it in its queue. The next run asks for it again, free of charge"
_MISSING_FILE = (
    "It was paid for and saved as {path}, which does not exist any more. It is not paid for again; "
    "for another image, add the same request once more"
)


class PriorState(NamedTuple):
    """How things stand with a request that has left.

    Attributes:
        status: As `BulkOutcome` has it.
        result: What was bought, where that is known.
        reason: Why there is no image.
        error: What the gateway or the disk said, if it was just now.
        cost_usd: What was paid for it just now, or may have been, in US dollars.
        may_be_repeated: Whether the ledger lets it be paid for again, on request.
        queued: The call, where the gateway has queued it and its answer can be asked for.
    """

    status: BulkStatus
    result: ImageGenerationResult | None = None
    reason: str | None = None
    error: QwenImageError | None = None
    cost_usd: float = 0.0
    may_be_repeated: bool = True
    queued: LedgerCall | None = None


class RetryOptions(NamedTuple):
    """What is paid for again: requests without an answer, images that are lost."""

    retry_unknown: bool = False
    retry_lost: bool = False

    @classmethod
    def of(cls, pipeline: Pipeline, *, retry_unknown: bool, retry_lost: bool) -> "RetryOptions":
        """Return what was asked for; the sandbox repeats everything, since it costs nothing."""
        free = pipeline.sender.sandbox
        return cls(retry_unknown or free, retry_lost or free)

    def wants(self, prior: PriorState) -> bool:
        """Say whether a request that was sent before is to be sent again."""
        may = {"unknown": self.retry_unknown, "lost": self.retry_lost and prior.may_be_repeated}
        return may.get(prior.status, False)


def batch_name(pipeline: Pipeline, *, resume: bool) -> str:
    """Return the run's name in the ledger: one per folder, the sandbox's apart, or a new one."""
    if not resume:
        return uuid4().hex
    return "bulk, sandbox" if pipeline.sender.sandbox else "bulk"


class Lookup:
    """Looks requests up, and fetches what is paid for and not saved; safe for threads."""

    def __init__(self, pipeline: Pipeline, batch: str, *, dry_run: bool = False) -> None:
        """Take the pipeline's ledger and store.

        Args:
            pipeline: Where the requests go.
            batch: The run's name.
            dry_run: Fetch nothing and write nothing.

        Raises:
            AccountError: The folder was moved away from its books.
            ConfigurationError: There is no account, or no place where images are saved.
        """
        store = pipeline.saver.store
        if pipeline.account is None or store is None:
            raise ConfigurationError(
                "To be resumed, a bulk run needs save_to=… and an account. Set save_to=… to a "
                "folder (with a ByteStore, set account=… too), or pass resume=False. Nothing was "
                "sent."
            )
        self._pipeline = pipeline
        self._account: Account = pipeline.account
        if dry_run and pipeline.belonging is not None:
            self._account = pipeline.belonging.to_read(pipeline.account)
        self._store: ImageStore = store
        self._batch = batch
        self._dry_run = dry_run

    def look_up(
        self, item: str, on_failure: Callable[[OSError], None], item_id: str | None = None
    ) -> PriorState | None:
        """Return how things stand with a request; None if it has bought nothing so far.

        Args:
            item: The request's id in the run.
            on_failure: Called with the error of a disk that an image cannot be written to.
            item_id: The caller's own id of the request, for images that are saved now.
        """
        call = self.find(item)
        findings: list[Finding] = []
        if call is None:
            return None
        if call.state == "answered":
            findings = self._settle(call, on_failure, item_id)
            call = self._account.get(call.id) or call
        match call.state:
            case "sent" | "unknown":
                said = f": {call.message}" if call.message else ""
                return PriorState("unknown", reason=f"{_NO_ANSWER}{said}")
            case "queued":  # paid for, and there is an address to ask: never sent again
                return PriorState("unsaved", reason=_QUEUED, queued=call)
            case "answered":
                return self._without_image(call, findings)
            case "saved":
                return self._saved(call)
            case "asked" | "refused":
                return None

    def find(self, item: str) -> LedgerCall | None:
        """Return the call that stands for a request, if there is one."""
        return self._account.find_key(self._pipeline.sender.base_url, self._batch, item)

    def _settle(
        self, call: LedgerCall, on_failure: Callable[[OSError], None], item_id: str | None
    ) -> list[Finding]:
        def fetch(call: LedgerCall, image: LedgerImage) -> str | None:
            try:
                result = self._pipeline.fetch(recorded_result(call, [image]), item_id=item_id)
                return result.image.path
            except OSError as error:
                on_failure(error)
                raise

        now = datetime.now(UTC)
        recovery = Recovery(self._account, self._store, fetch, dry_run=self._dry_run, now=now)
        return recovery.settle(call)

    def _without_image(self, call: LedgerCall, findings: Sequence[Finding]) -> PriorState:
        result = recorded_result(call, call.images)
        reason = next((one.reason for one in findings if one.reason), None)
        if any(one.outcome == "lost" for one in findings):
            return PriorState("lost", result, f"It was paid for and is lost. {reason}")
        return PriorState("unsaved", result, reason)

    def _saved(self, call: LedgerCall) -> PriorState:
        images = []
        for image in call.images:
            path = self._store.locate(image.path or "")
            if path is None:
                reason = _MISSING_FILE.format(path=image.path)
                return PriorState("lost", reason=reason, may_be_repeated=False)
            images.append(replace(image, path=path))
        result = recorded_result(call, images)
        for one in result.images:
            one.bind(self._pipeline.saver)
            self._describe(one)
        return PriorState("reused", result)

    def _describe(self, image: GeneratedImage) -> None:
        """Add what only the sidecar says; an image without one is an image all the same."""
        with suppress(OSError, ValueError):
            sidecar = self._store.read_sidecar(image.path or "")
            image.width, image.height = sidecar.width, sidecar.height
            image.mime_type = sidecar.mime_type
