"""The items of a run in the fleet's tables: what was asked for, and what each came to."""

import json
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any

from langchain_qwen_image.account.records import storable
from langchain_qwen_image.bulk.items import Item
from langchain_qwen_image.fleet.database import TASK, Database, Row, queue_of
from langchain_qwen_image.fleet.records import Asked, Known, Outcome, Run, StoredItem, stored
from langchain_qwen_image.schemas import QwenImageInput

_LONGEST_REASON = 500
_COLUMNS = "id, run, key, item_id, arguments, replacing, status"


class Items:
    """Reads and writes the items of one gateway's runs."""

    def __init__(self, database: Database, base_url: str) -> None:
        """Take the open database, and the gateway."""
        self._database = database
        self._base_url = base_url

    async def run(self, name: str) -> Run | None:
        """Return a run; None if there is none of that name."""
        sql = "SELECT id, name, max_usd FROM runs WHERE base_url = %(base_url)s AND name = %(name)s"
        rows = await self._database.all(sql, base_url=self._base_url, name=name)
        return Run(**rows[0]) if rows else None

    async def run_of(self, number: int) -> Run:
        """Return the run of that number."""
        sql = "SELECT id, name, max_usd FROM runs WHERE id = %(number)s"
        [row] = await self._database.all(sql, number=number)
        return Run(**row)

    async def begin(self, name: str, max_usd: Decimal | None) -> Run:
        """Return the run of that name, made where there is none; a limit that is given is set."""
        sql = (
            "INSERT INTO runs (base_url, name, max_usd)"
            " VALUES (%(base_url)s, %(name)s, %(max_usd)s) ON CONFLICT (base_url, name) DO UPDATE"
            " SET max_usd = coalesce(excluded.max_usd, runs.max_usd) RETURNING id, name, max_usd"
        )
        [row] = await self._database.all(sql, base_url=self._base_url, name=name, max_usd=max_usd)
        return Run(**row)

    async def known(self, run: int, keys: Sequence[str]) -> dict[str, Known]:
        """Return those of the keys that the run has."""
        sql = (
            "SELECT key, status, arguments, item_id IS NOT NULL AS is_named FROM items"
            " WHERE run = %(run)s AND key = ANY(%(keys)s)"
        )
        rows = await self._database.all(sql, run=run, keys=list(keys))
        return {row["key"]: Known(row["status"], row["arguments"], row["is_named"]) for row in rows}

    async def add(self, run: int, asked: Sequence[Asked], again: Mapping[str, str | None]) -> int:
        """Queue items that the run does not have, and others once more, as a whole.

        Args:
            run: Number of the run.
            asked: Items; what the run has already is left as it is.
            again: Keys of items that are at their end, and the calls of theirs that may be paid
                for once more.

        Returns:
            How many were queued.
        """
        insert = (
            "INSERT INTO items (run, key, line, item_id, arguments) SELECT %(run)s, * FROM"
            " unnest(%(keys)s::text[], %(lines)s::bigint[], %(ids)s::text[], %(arguments)s::text[])"
            " ON CONFLICT (run, key) DO NOTHING RETURNING id"
        )
        update = (
            "UPDATE items SET status = NULL, reason = NULL, settled_at = NULL,"
            " replacing = given.call FROM unnest(%(keys)s::text[], %(calls)s::text[])"
            " AS given (key, call) WHERE run = %(run)s AND items.key = given.key"
            " AND status IN ('failed', 'unknown', 'lost') RETURNING id"
        )
        columns = {
            "run": run,
            "keys": [one.item.key for one in asked],
            "lines": [one.line for one in asked],
            "ids": [one.item.item_id if one.item.is_named else None for one in asked],
            "arguments": [stored(one.item.arguments) for one in asked],
        }
        repeated = {"run": run, "keys": list(again), "calls": list(again.values())}
        async with self._database.transaction() as connection:
            found = [] if not asked else await _numbers(connection, insert, columns)
            found += [] if not again else await _numbers(connection, update, repeated)
            if found:
                queue = queue_of(self._base_url)
                task = self._database.app.configure_task(TASK, queue=queue, connection=connection)
                jobs: list[dict[str, Any]] = [{"item": number} for number in found]
                await task.batch_defer_async(*jobs)
        return len(found)

    async def analyze(self) -> None:
        """Let the server count its rows now: unaware of many, it sorts all jobs to find one."""
        await self._database.run("ANALYZE procrastinate_jobs, items")

    async def read(self, number: int) -> StoredItem | None:
        """Return an item; None if there is none."""
        sql = f"SELECT {_COLUMNS} FROM items WHERE id = %(number)s"  # noqa: S608 - of constants
        rows = await self._database.all(sql, number=number)
        return _item(rows[0]) if rows else None

    async def open_ones(
        self, runs: Collection[int] | None, after: int = 0, most: int = 100
    ) -> list[StoredItem]:
        """Return items that are to be asked about again, in the order of their numbers."""
        sql = (
            f"SELECT {_COLUMNS} FROM items WHERE status IN ('elsewhere', 'unsaved')"  # noqa: S608
            " AND run IN (SELECT id FROM runs WHERE base_url = %(base_url)s)"
            " AND (%(runs)s::bigint[] IS NULL OR run = ANY(%(runs)s)) AND id > %(after)s"
            " ORDER BY id LIMIT %(most)s"
        )
        chosen = None if runs is None else list(runs)
        values = {"base_url": self._base_url, "runs": chosen, "after": after, "most": most}
        return [_item(row) for row in await self._database.all(sql, **values)]

    async def rows(self, run: int, after: int, most: int = 1000) -> list[Row]:
        """Return rows of a run's manifest, in the order in which they were enqueued."""
        sql = (
            "SELECT id, line, item_id, coalesce(status, 'pending') AS status, path, cost_usd"
            " FROM items WHERE run = %(run)s AND id > %(after)s ORDER BY id LIMIT %(most)s"
        )
        return await self._database.all(sql, run=run, after=after, most=most)

    async def missing(self, runs: Collection[int]) -> int:
        """Return how many items of these runs have no saved image."""
        sql = (
            "SELECT count(*) AS items FROM items WHERE run = ANY(%(runs)s)"
            " AND status IS DISTINCT FROM 'saved'"
        )
        [row] = await self._database.all(sql, runs=list(runs))
        return int(row["items"])

    async def are_all_settled(self) -> bool:
        """Say whether no item waits for a worker or is with one."""
        sql = (
            "SELECT EXISTS (SELECT 1 FROM items WHERE status IS NULL AND run IN"
            " (SELECT id FROM runs WHERE base_url = %(base_url)s)) AS some"
        )
        [row] = await self._database.all(sql, base_url=self._base_url)
        return not row["some"]

    async def note(self, number: int, outcome: Outcome) -> None:
        """Write what an item came to; what is at its end stays there."""
        sql = (
            "UPDATE items SET status = %(status)s, reason = %(reason)s, path = %(path)s,"
            " cost_usd = %(cost_usd)s, replacing = NULL, settled_at = clock_timestamp()"
            " WHERE id = %(number)s AND (status IS NULL OR status IN ('elsewhere', 'unsaved'))"
        )
        await self._database.run(
            sql,
            number=number,
            status=outcome.status,
            reason=_text(outcome.reason),
            path=_text(outcome.path),
            cost_usd=outcome.cost_usd,
        )


async def _numbers(connection: Any, sql: str, values: dict[str, Any]) -> list[int]:
    rows = await (await connection.execute(sql, values)).fetchall()
    return [row[0] for row in rows]


def _text(text: str | None) -> str | None:
    return None if text is None else storable(text).replace("\0", " ")[:_LONGEST_REASON]


def _item(row: Row) -> StoredItem:
    item = Item(
        number=row["id"],
        arguments=QwenImageInput.model_validate(json.loads(row["arguments"])),
        key=row["key"],
        is_named=row["item_id"] is not None,
        item_id=row["item_id"],
    )
    return StoredItem(row["run"], item, row["replacing"], row["status"])
