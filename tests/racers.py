"""Processes that race for the keys of one account: who may send which?"""

import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import warm
from account_steps import GATEWAY, LEASE

_WITHOUT_ROW_LOCKS = """
import pathlib, sys, time
from langchain_qwen_image.account.postgres_transaction import PostgresTransaction
folder, racers = pathlib.Path({folder!r}), {racers}
def lock(self, sql, values={{}}, *, skip=False):
    row = self.one(sql, values)
    if row is not None and row.get("attempts") == 0:
        (folder / f"{{row['key']}}-{{sys.argv[2]}}").touch()
        while len(list(folder.glob(f"{{row['key']}}-*"))) < racers:
            time.sleep(0.001)
    return row
PostgresTransaction.lock = lock
"""


def without_row_locks(folder: Path, racers: int) -> str:
    """Return what makes racers read a call to be sent without a lock, all before one writes."""
    return _WITHOUT_ROW_LOCKS.format(folder=str(folder), racers=racers)


_RACE = f"""
import sys
from decimal import Decimal
from langchain_qwen_image.account.account import Account
from langchain_qwen_image.account.keys import NewCall
from langchain_qwen_image.account.leases import CallTakenError
from langchain_qwen_image.errors import BudgetExceededError
location, racer, items, limit = sys.argv[1:]
account = Account(location, max_images=int(limit) if limit else None)
account.prepare().result()
print("ready", flush=True)
sys.stdin.readline()
for item in range(int(items)):
    call = NewCall(
        f"{{racer}}-{{item}}", "a fox", {{}}, "m", "{GATEWAY}", Decimal("0.045"), key=str(item)
    )
    found = account.asked(call).result()
    try:
        account.sent(found.id, lease_seconds={LEASE}).result()
    except CallTakenError:
        continue
    except BudgetExceededError:
        break
    print(item, flush=True)
"""


class Racers:
    """Racers that stand ready; `run` lets them go, and counts who was let through."""

    def __init__(
        self,
        location: str,
        number: int,
        items: int,
        *,
        limit: int | None = None,
        before: str = "",
        starting: Sequence[str] = (),
    ) -> None:
        """Start them.

        Args:
            location: Their account.
            number: How many race.
            items: How many keys each of them tries, all in the same order.
            limit: Images that the account may pay for.
            before: What each does first.
            starting: A command that starts Python for each of them.
        """
        popen = subprocess.Popen if starting else warm.Popen
        self._racers = [
            popen(
                [
                    *(*starting, sys.executable, "-c", before + _RACE),
                    *(location, str(racer), str(items), "" if limit is None else str(limit)),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for racer in range(number)
        ]

    def run(self) -> Counter[int]:
        """Return how often each key was sent, once all have come to the end."""
        for racer in self._racers:
            assert racer.stdout is not None
            assert racer.stdout.readline() == "ready\n"
        for racer in self._racers:
            assert racer.stdin is not None
            racer.stdin.write("go\n")
            racer.stdin.flush()
        said = [racer.communicate(timeout=900)[0] for racer in self._racers]
        assert [racer.returncode for racer in self._racers] == [0] * len(self._racers)
        return Counter(int(line) for text in said for line in text.split())
