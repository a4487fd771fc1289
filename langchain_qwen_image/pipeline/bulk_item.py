"""The place of a call in a bulk run."""

from typing import NamedTuple


class BulkItem(NamedTuple):
    """Place of a call in a bulk run: paid for once, and known again when the run is resumed.

    Attributes:
        batch: The run's name.
        item: The request's name in it.
        call_id: The call's name; the same when the run asks again after it bought nothing.
        pay_again: Ask also where an earlier call may have been billed.
        item_id: The caller's own id of the request, for file names and sidecars.
    """

    batch: str
    item: str
    call_id: str
    pay_again: bool = False
    item_id: str | None = None
