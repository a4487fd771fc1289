"""One process at a time works on a bulk run: what another has sent is not known to be unanswered.

The claim of a killed process is void, and the next one takes it over.
"""

import sqlite3

from langchain_qwen_image.account.schema import RUNS
from langchain_qwen_image.concurrency.process import is_running, this_process
from langchain_qwen_image.errors import ConfigurationError

__all__ = ["claim", "release"]


def claim(connection: sqlite3.Connection, batch: str) -> None:
    """Take a run for this process.

    Raises:
        ConfigurationError: A process that still runs has it.
    """
    connection.execute(RUNS.replace("TABLE", "TABLE IF NOT EXISTS"))
    row = connection.execute("SELECT owner FROM runs WHERE batch = ?", (batch,)).fetchone()
    if row is not None and is_running(row["owner"]):
        process = row["owner"].partition(":")[0]
        raise ConfigurationError(
            f"Another bulk run is using this ledger, in process {process}; nothing "
            "was sent. Wait until it has ended, or use another folder."
        )
    connection.execute("INSERT OR REPLACE INTO runs VALUES (?, ?)", (batch, this_process()))


def release(connection: sqlite3.Connection, batch: str) -> None:
    """Give a run back, so that it can be resumed."""
    connection.execute("DELETE FROM runs WHERE batch = ? AND owner = ?", (batch, this_process()))
