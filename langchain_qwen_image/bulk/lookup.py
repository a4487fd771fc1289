"""How things stand with the requests of a bulk run in its account, before anything is sent."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Literal, NamedTuple
from uuid import uuid4

from langchain_qwen_image.account.account import Account
from langchain_qwen_image.account.records import CallRecord, ImageRecord
from langchain_qwen_image.bulk.items import Item
from langchain_qwen_image.errors import (
    CallInProgressError,
    ConfigurationError,
    IdempotencyError,
    QwenImageError,
)
from langchain_qwen_image.pipeline.copies import find_copy
from langchain_qwen_image.pipeline.lost import INLINE, expired
from langchain_qwen_image.pipeline.pipeline import Pipeline
from langchain_qwen_image.pipeline.replay import replay
from langchain_qwen_image.pipeline.standing import Action, lease_left, next_action
from langchain_qwen_image.result import ImageGenerationResult
from langchain_qwen_image.storage.addresses import parent_of
from langchain_qwen_image.storage.opening import ImageStore
from langchain_qwen_image.wire.links import is_inline

BulkStatus = Literal["saved", "reused", "unsaved", "unknown", "lost", "elsewhere", "failed"]
"""What became of a request; `BulkOutcome` says what each means."""

_DEFAULT_RUN = "bulk"
_NO_ANSWER = "It was sent and no answer is known; it may have been billed"


class PriorState(NamedTuple):
    """How things stand with a request.

    Attributes:
        status: As `BulkOutcome` has it.
        result: What was bought, where that is known.
        reason: Why there is no image.
        error: What the gateway or the disk said, if it was just now.
        cost_usd: What was paid for it just now, or may have been, in US dollars.
    """

    status: BulkStatus
    result: ImageGenerationResult | None = None
    reason: str | None = None
    error: QwenImageError | None = None
    cost_usd: float = 0.0


class RetryOptions(NamedTuple):
    """What is paid for again: requests without an answer, images that are lost."""

    retry_unknown: bool = False
    retry_lost: bool = False

    @classmethod
    def of(cls, pipeline: Pipeline, *, retry_unknown: bool, retry_lost: bool) -> "RetryOptions":
        """Return what was asked for; the sandbox repeats everything, since it costs nothing."""
        free = pipeline.sender.sandbox
        return cls(retry_unknown or free, retry_lost or free)


def run_name(run: str | None, *, resume: bool) -> str:
    """Return a run's name in the account; without resuming, one that no other run has.

    Raises:
        ConfigurationError: It cannot be one.
    """
    if run is None:
        return _DEFAULT_RUN if resume else uuid4().hex
    if not resume:
        raise ConfigurationError(
            "run=… names a run that is resumed, so it cannot go with resume=False."
        )
    if not isinstance(run, str) or not run.strip():
        raise ConfigurationError(f"run must be a name, not {run!r}.")
    return run


class Lookup:
    """Looks the requests of a run up; safe for threads."""

    def __init__(
        self, pipeline: Pipeline, run: str, retry: RetryOptions, *, dry_run: bool = False
    ) -> None:
        """Take the pipeline's account and store.

        Args:
            pipeline: Where the requests go.
            run: The run's name.
            retry: What is to be paid for again.
            dry_run: Write nothing.

        Raises:
            AccountError: The folder was moved away from its books.
            ConfigurationError: There is no account, or no place where images are saved.
        """
        store = pipeline.saver.store
        if pipeline.account is None or store is None:
            raise ConfigurationError(
                "To be resumed, a bulk run needs save_to=… and an account. Set save_to=… to a "
                "folder (with an object store or a ByteStore, set account=… too), or pass "
                "resume=False. Nothing was sent."
            )
        self._pipeline = pipeline
        self._account: Account = pipeline.account
        if dry_run and pipeline.belonging is not None:
            self._account = pipeline.belonging.to_read(pipeline.account)
        self._store: ImageStore = store
        self._run = run
        self._retry = retry
        self._dry_run = dry_run

    def find(self, key: str) -> CallRecord | None:
        """Return the call that stands for a key; what is past its time is settled first."""
        call = self._account.find_key(self._pipeline.sender.base_url, self._run, key)
        if call is None or self._dry_run or call.state != "sent" or lease_left(call):
            return call
        self._account.expire().result()
        return self._account.get(call.id)

    def next_action(self, call: CallRecord | None) -> Action:
        """Say what a run does about a request whose call stands there."""
        if call is None:
            return Action.SEND
        is_over = call.state == "sent" and not lease_left(call)
        state = "unknown" if is_over and self._dry_run else call.state
        return next_action(state, retry_unknown=self._retry.retry_unknown)

    def conflict(self, call: CallRecord | None, item: Item) -> IdempotencyError | None:
        """Return why a call cannot be that of a request: its id was used for another one."""
        if call is None or not item.is_named:
            return None
        if call.fingerprint == self._pipeline.fingerprint_of(item.arguments):
            return None
        return IdempotencyError(
            f"The id {item.key!r} was used for another request in this run before. Nothing was "
            "sent. Use the arguments of that request, or another id."
        )

    def find_lost(self, call: CallRecord) -> str | None:
        """Return why the image of a paid call cannot be had any more, as far as can be told now.

        Nothing is fetched: a link that has expired by this machine's clock counts as dead.
        """
        if self._is_in_bucket(call):
            return None
        if call.state == "saved":
            return replay(self._pipeline.saver, call).lost
        return next(filter(None, (self._why_lost(call, image) for image in call.images)), None)

    def find_path(self, call: CallRecord) -> str | None:
        """Return where the first image of a paid call is saved, if it is."""
        if self._is_in_bucket(call):
            return call.images[0].path
        if call.state == "saved":
            return replay(self._pipeline.saver, call).result.image.path
        return self._path_of_copy(call, call.images[0]) if call.images else None

    def _is_in_bucket(self, call: CallRecord) -> bool:
        """Say whether the account has all images of a call in the bucket; that is not looked up.

        A look takes some 20 ms: hours for the images of a large run.
        """
        address = self._store.address
        return (
            address is not None
            and call.state == "saved"
            and all(
                image.path is not None and parent_of(image.path) == address for image in call.images
            )
        )

    def _why_lost(self, call: CallRecord, image: ImageRecord) -> str | None:
        if image.path is not None or self._path_of_copy(call, image) is not None:
            return None
        return _why_dead(image)

    def _path_of_copy(self, call: CallRecord, image: ImageRecord) -> str | None:
        walks = _why_dead(image) is not None
        with suppress(OSError):
            found = find_copy(self._store, call, image, walks=walks)
            return None if found is None else found[0]
        return None


def _why_dead(image: ImageRecord) -> str | None:
    """Return why an image cannot be fetched, by this machine's clock; None if it can."""
    return INLINE if is_inline(image.url) else expired(image, datetime.now(UTC))


def unknown(call: CallRecord) -> PriorState:
    """Return the state of a request whose answer was lost."""
    said = f": {call.message}" if call.message else ""
    return PriorState("unknown", reason=f"{_NO_ANSWER}{said}")


def elsewhere(seconds: float) -> PriorState:
    """Return the state of a request that another process has sent.

    Args:
        seconds: The longest that its answer can take from now on.
    """
    reason = (
        "Another process has sent it, and its answer is not there yet. If that process was killed, "
        f"the request counts as unknown after {seconds:.0f} s. Nothing was sent now."
    )
    error = CallInProgressError(reason, retry_after=round(seconds, 1))
    return PriorState("elsewhere", reason=reason, error=error)
