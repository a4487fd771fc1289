"""One process at a time works on a bulk run: what another has sent is not known to be unanswered.

The claim of a killed process is void, and the next one takes it over.
"""

from langchain_qwen_image.account.schema import RUNS
from langchain_qwen_image.account.store import Transaction
from langchain_qwen_image.concurrency.process import is_running, this_process
from langchain_qwen_image.errors import ConfigurationError

__all__ = ["claim", "release"]


def claim(tx: Transaction, batch: str) -> None:
    """Take a run for this process.

    Raises:
        ConfigurationError: A process that still runs has it.
    """
    tx.execute(RUNS.replace("TABLE", "TABLE IF NOT EXISTS"))
    row = tx.lock("SELECT owner FROM runs WHERE batch = :batch", {"batch": batch})
    if row is not None and is_running(row["owner"]):
        process = row["owner"].partition(":")[0]
        raise ConfigurationError(
            f"Another bulk run is using this ledger, in process {process}; nothing "
            "was sent. Wait until it has ended, or use another folder."
        )
    tx.execute(
        "INSERT INTO runs (batch, owner) VALUES (:batch, :owner)"
        " ON CONFLICT (batch) DO UPDATE SET owner = excluded.owner",
        {"batch": batch, "owner": this_process()},
    )


def release(tx: Transaction, batch: str) -> None:
    """Give a run back, so that it can be resumed."""
    tx.execute(
        "DELETE FROM runs WHERE batch = :batch AND owner = :owner",
        {"batch": batch, "owner": this_process()},
    )
