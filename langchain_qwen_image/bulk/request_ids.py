"""Ids for the requests of a bulk run: the same ones at each reading of the same prompts."""

import hashlib
import sqlite3

from langchain_qwen_image.concurrency.forks import new_lock
from langchain_qwen_image.schemas import QwenImageInput


class RequestIds:
    """Identifies a request by its content and by how often it came before.

    So the same prompt twice is two images, and a line that is inserted between others leaves their
    ids as they are. The counts are on disk: a million requests are not held in memory.
    """

    def __init__(self) -> None:
        """Start with none."""
        self._lock = new_lock()  # a fork amid SQLite's work would copy its locks
        # The empty name is a temporary file of SQLite's own, which is gone when it is closed.
        self._seen = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._seen.execute("PRAGMA journal_mode = OFF")
        self._seen.execute("CREATE TABLE seen (id BLOB PRIMARY KEY, times INTEGER) WITHOUT ROWID")

    def next_id(self, arguments: QwenImageInput) -> str:
        """Return the id of the next request with these arguments."""
        # Defaults are left out: an argument that a later version adds changes no id.
        content = arguments.model_dump_json(exclude_defaults=True)
        digest = hashlib.sha256(content.encode()).digest()[:16]
        with self._lock:
            [times] = self._seen.execute(
                "INSERT INTO seen VALUES (?, 1) ON CONFLICT DO UPDATE SET times = times + 1"
                " RETURNING times",
                (digest,),
            ).fetchone()
        return f"{digest.hex()}-{times}"

    def close(self) -> None:
        """Remove the file."""
        with self._lock:
            self._seen.close()
