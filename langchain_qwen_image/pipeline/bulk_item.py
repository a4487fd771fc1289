"""The place of a call in a bulk run."""

from typing import NamedTuple

from langchain_qwen_image.pipeline.order import CallKey


class BulkItem(NamedTuple):
    """Place of a call in a bulk run: paid for once, and known again when the run is resumed.

    Attributes:
        key: The request's name in the run, and what may be paid for once more.
        item_id: The caller's own id of the request, for file names and sidecars.
    """

    key: CallKey
    item_id: str | None = None
