"""Completes the items of runs as a bulk run does, each from the state of its key."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

from langchain_qwen_image.account.records import CallRecord
from langchain_qwen_image.bulk.generator_caller import GeneratorCaller
from langchain_qwen_image.bulk.items import Item
from langchain_qwen_image.bulk.lookup import Lookup, PriorState, RetryOptions
from langchain_qwen_image.bulk.report import ReportStatus
from langchain_qwen_image.bulk.settling import Settler
from langchain_qwen_image.bulk.stopping import RunStoppedError
from langchain_qwen_image.bulk.worker import Worker
from langchain_qwen_image.concurrency.threads import in_thread
from langchain_qwen_image.errors import CallInProgressError
from langchain_qwen_image.fleet.items import Items
from langchain_qwen_image.fleet.records import Outcome, Run, StoredItem

__all__ = ["Desk"]

_FETCH_AGAIN_SECONDS = 60.0
_AGAIN = RetryOptions(retry_unknown=True, retry_lost=True)
_MARGIN_SECONDS = 0.5  # after a lease, so that the next look finds it over


class _RunDesk:
    """What buys for one run."""

    def __init__(self, generator: Any, run: Run) -> None:
        pipeline = generator.pipeline
        if run.max_usd is not None and pipeline.account is not None:
            account = pipeline.account.limited(max_usd=run.max_usd)
            pipeline = replace(pipeline, account=account)
        self.pipeline = pipeline
        self.workers: list[Worker] = []
        self._caller = GeneratorCaller(generator, pipeline)
        self._run = run
        self._settlers: dict[RetryOptions, Settler] = {}
        self.lookup = Lookup(pipeline, run.name, self._options(RetryOptions()))

    def settler(self, given: RetryOptions) -> Settler:
        """Return what settles, with these options."""
        retry = self._options(given)
        if retry not in self._settlers:
            worker = Worker(self._caller, self._run.name, retry, None)
            worker.start()
            self.workers.append(worker)
            lookup = Lookup(self.pipeline, self._run.name, retry)
            self._settlers[retry] = Settler(lookup, worker, retry_lost=retry.retry_lost)
        return self._settlers[retry]

    def _options(self, given: RetryOptions) -> RetryOptions:
        return RetryOptions.of(self.pipeline, **given._asdict())


class Desk:
    """Settles items of any run of one gateway, for the tasks of one event loop."""

    def __init__(self, generator: Any, items: Items) -> None:
        """Take the `QwenImageGenerator` that pays and saves, and where the runs are."""
        self._generator = generator
        self._items = items
        self._runs: dict[int, _RunDesk] = {}
        self._is_stopped = False
        self._failure: Exception | None = None

    @property
    def failure(self) -> Exception | None:
        """What only a person can put right, once it stopped the work."""
        failures = (worker.failure for worker in self._workers())
        return next(filter(None, failures), self._failure)

    def fail(self, failure: Exception) -> None:
        """Stop because of a failure."""
        self._failure = failure
        self.stop()

    @property
    def in_flight(self) -> int:
        """Requests that are at the gateway, or whose images are being saved."""
        return sum(worker.in_flight for worker in self._workers())

    def stop(self) -> None:
        """Send nothing more; what was sent is settled."""
        self._is_stopped = True
        for worker in self._workers():
            worker.stop()

    async def settle(self, stored: StoredItem) -> Outcome:
        """Buy the image of an item, or find out what became of it.

        Raises:
            RunStoppedError: It bought nothing, and the work was stopped.
        """
        desk = await self._desk(stored.run)
        if self._is_stopped or self.failure is not None:
            raise RunStoppedError
        item = stored.item
        call = await in_thread(desk.lookup.find, item.key)
        if call is not None and _is_saved(call, item, desk.lookup):
            return Outcome("saved", path=call.images[0].path, cost_usd=call.cost_usd)
        is_again = call is not None and call.id == stored.replacing
        settler = desk.settler(_AGAIN if is_again else RetryOptions())
        return _outcome(await settler.settle_from(call, item))

    async def _desk(self, number: int) -> _RunDesk:
        if number not in self._runs:
            run = await self._items.run_of(number)
            if number not in self._runs:  # it may have been made meanwhile
                self._runs[number] = _RunDesk(self._generator, run)
        return self._runs[number]

    def _workers(self) -> list[Worker]:
        return [worker for desk in self._runs.values() for worker in desk.workers]


def _is_saved(call: CallRecord, item: Item, lookup: Lookup) -> bool:
    """Say whether the image is saved, by whichever machine: its folder may not be here."""
    return call.state == "saved" and lookup.conflict(call, item) is None


def _outcome(state: PriorState) -> Outcome:
    status: ReportStatus = "saved" if state.status == "reused" else state.status
    result, error = state.result, state.error
    path = None if result is None else result.image.path
    cost: Decimal | None = Decimal(str(state.cost_usd))
    again: float | None = None
    if result is not None and result.replayed:
        cost = Decimal(str(result.first_cost_usd or 0))
    if status == "elsewhere":
        left = error.retry_after if isinstance(error, CallInProgressError) else None
        cost, again = None, (left or 0.0) + _MARGIN_SECONDS
    elif status == "unsaved":
        again = _FETCH_AGAIN_SECONDS
    return Outcome(status, state.reason, path, cost, again)
