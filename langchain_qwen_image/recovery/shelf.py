"""Put an account right from what is in the folder of its images, and say what was done."""

from collections.abc import Iterator
from datetime import datetime

from langchain_qwen_image.account.account import Account
from langchain_qwen_image.account.found import FoundCall, book_found
from langchain_qwen_image.account.records import CallRecord
from langchain_qwen_image.recovery.on_disk import found_calls, found_of_known
from langchain_qwen_image.recovery.settle import Finding
from langchain_qwen_image.storage.opening import ImageStore

_AT_ONCE = 500


class Shelf:
    """The images of an account, where they are saved."""

    def __init__(
        self,
        account: Account,
        store: ImageStore | None,
        gateway: str,
        *,
        dry_run: bool,
        now: datetime,
    ) -> None:
        """Take the account, the place, and the gateway of sidecars that name none."""
        self._account = account
        self._store = store
        self._gateway = gateway
        self._dry_run = dry_run
        self._now = now

    def book(self, *, enters: bool, also_without_image: bool) -> Iterator[Finding]:
        """Book calls that sidecars say were answered, and yield each that was put right.

        Args:
            enters: Also calls that the account does not know.
            also_without_image: Also where the image itself is missing.
        """
        if self._store is None:
            return
        known: dict[str, CallRecord] = {}
        settled: set[str] = set()
        owners: dict[str, str] = {}
        for call in self._account.calls():
            owners |= {image.id: call.id for image in call.images}
            if self._may_be_answered(call):
                known[call.id] = call
            else:
                settled.add(call.id)
        if self._store.folder is not None or (enters and self._store.address is not None):
            found = found_calls(self._store, self._gateway, settled)
        else:
            found = list(found_of_known(self._store, known.values()))
        wanted = [
            one
            for one in found
            if (enters or one.call.id in known)
            and all(owners.get(image.id, one.call.id) == one.call.id for image in one.images)
            and (also_without_image or any(image.path for image in one.images))
        ]
        for start in range(0, len(wanted), _AT_ONCE):
            yield from self._book(wanted[start : start + _AT_ONCE], known, enters=enters)

    def _book(
        self, found: list[FoundCall], known: dict[str, CallRecord], *, enters: bool
    ) -> Iterator[Finding]:
        commits = (
            []
            if self._dry_run
            else [book_found(self._account, one, enters=enters) for one in found]
        )
        booked = [commit.result() for commit in commits] or [True] * len(found)
        for one, is_booked in zip(found, booked, strict=True):
            if is_booked:
                before = known.get(one.call.id) or _unknown_so_far(one, self._now)
                path = next((image.path for image in one.images if image.path), None)
                yield Finding("booked", before, path=path)

    def _may_be_answered(self, call: CallRecord) -> bool:
        """Say whether a sidecar may know more of a call than the account does."""
        if call.state in ("answered", "saved"):
            return False
        return call.state != "sent" or call.lease_until is None or call.lease_until <= self._now


def _unknown_so_far(found: FoundCall, now: datetime) -> CallRecord:
    """Return a call that the account did not know, as if it had been asked for and no more."""
    call, moment = found.call, found.created_at or now
    return CallRecord(
        id=call.id,
        state="asked",
        prompt=call.prompt,
        parameters=dict(call.parameters),
        model=call.model,
        base_url=call.base_url,
        cost_usd=call.cost_usd,
        request_id=found.request_id,
        error=None,
        message=None,
        attempts=0,
        created_at=moment,
        updated_at=moment,
        operation=call.operation,
        run=call.run,
        key=call.key,
        fingerprint=call.fingerprint,
        cost_images=call.images,
        lease_seconds=None,
        lease_until=None,
        replaced_by=None,
        images=(),
        polling_path=None,
        has_raw_answer=False,
    )
