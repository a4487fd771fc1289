"""A batch under way: to its end, or to the first Ctrl-C and what may be billed by then."""

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import typer

from langchain_qwen_image.cli.batch_progress import BatchProgress, stopping
from langchain_qwen_image.cli.interrupts import run_interruptible
from langchain_qwen_image.cli.terminal import note

if TYPE_CHECKING:
    from langchain_qwen_image.account.run_spend import RunSpend
    from langchain_qwen_image.bulk.caller import Caller
    from langchain_qwen_image.bulk.outcome import BulkOutcome
    from langchain_qwen_image.bulk.request import BulkRequest
    from langchain_qwen_image.bulk.run import BulkRun


class BatchRun:
    """Runs it once.

    Attributes:
        failure: What ended the run early, if anything did.
        status: Exit status if a signal ended it; 0 without one.
    """

    def __init__(self, caller: "Caller", progress: BatchProgress) -> None:
        """Take who calls, with an account, and what counts the outcomes.

        Raises:
            QwenImageError: The account cannot be used, or a call would fail for certain.
        """
        self.failure: Exception | None = None
        self.status = 0
        self._caller, self._progress = caller, progress
        self._run: BulkRun | None = None
        caller.pipeline.make_ready()

    def watch(self, requests: "Iterable[BulkRequest]", **options: Any) -> None:
        """Generate them all."""
        from langchain_qwen_image.bulk.run import BulkRun

        run = self._run = BulkRun(self._caller, requests, **options)
        with self._progress.shown(lambda: run.in_flight):
            ended = run_interruptible(self._take(run), lambda _: self._finish(run))
        self.failure, self.status = ended.value, ended.status

    def spend(self) -> "RunSpend":
        """Return what the run paid or may have paid in this process.

        Raises:
            QwenImageError: The account cannot be read.
        """
        from langchain_qwen_image.account.run_spend import RunSpend

        return RunSpend() if self._run is None else self._run.spend()

    async def _take(self, run: "BulkRun") -> Exception | None:
        try:
            async for outcome in run:
                self._progress.add(outcome)
                if outcome.status == "unsaved" and outcome.result is not None:
                    await asyncio.to_thread(self._print_unrecorded, outcome)
        except Exception as error:
            return error
        return None

    def _finish(self, run: "BulkRun") -> None:
        self._progress.interrupted = True
        run.stop()
        if run.in_flight:
            note(f"{stopping(run.in_flight)}.")

    def _print_unrecorded(self, outcome: "BulkOutcome") -> None:
        """Print the links that the account did not take, on a full disk say: nothing else has them.

        An image that came inside the answer is saved into a temporary folder instead.
        """
        from langchain_qwen_image.errors import QwenImageError
        from langchain_qwen_image.pipeline.saver import rescue
        from langchain_qwen_image.wire.links import is_inline

        result, account = outcome.result, self._caller.pipeline.account
        assert result is not None  # noqa: S101 - it was checked
        assert account is not None  # noqa: S101 - a run that resumes has one
        for image in result.images:
            try:
                is_known = account.find_image(image.id) is not None
            except QwenImageError:
                is_known = False
            if image.path is not None or (is_known and not is_inline(image.url or "")):
                continue
            if is_inline(image.url or ""):
                rescue(image, result)
            note(f"Image {outcome.number + 1} is paid for, but not saved. It is only here:")
            typer.echo(image.path or image.url or "")
