"""A program that buys keys by the steps of an account, and dies where it is told to.

It is what a call does, without what makes it comfortable: enter, take key and money, POST, note
the answer, note the file. Tests of kills run it in processes of its own, and then go on with it.
"""

import http.client
import json
import os
import random
import signal
import sys
import uuid
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from account_steps import LEASE, PRICE, entry

from langchain_qwen_image.account.account import Account
from langchain_qwen_image.account.leases import CallTakenError
from langchain_qwen_image.account.records import LedgerCall
from langchain_qwen_image.account.store import Transaction
from langchain_qwen_image.storage.filenames import image_id

STEPS = ("asked", "sent", "answered", "saved")
MOMENTS = (
    *(f"{when} {step}" for step in STEPS[:2] for when in ("before", "within", "after")),
    "after POST",
    *(f"{when} {step}" for step in STEPS[2:] for when in ("before", "within", "after")),
)
"""Where a process may die: between two steps, and in the transaction of each."""


def buy(account: Account, gateway: str, key: str, moment: str = "") -> LedgerCall:
    """See to it that a key is bought, once, as far as its state allows; return its call."""
    call = account.asked(entry(uuid.uuid4().hex, prompt=key, key=key, base_url=gateway)).result()
    if call.state in ("asked", "refused"):
        try:
            account.sent(call.id, lease_seconds=LEASE).result()
        except CallTakenError as taken:
            return taken.call
        answer = _post(gateway, key)
        _die_if(moment == "after POST")
        link = answer["output"]["choices"][0]["message"]["content"][0]["image"]
        images = [(image_id(call.id, 0), link, None)]
        account.answered(
            call.id, request_id=answer["request_id"], cost_usd=PRICE, images=images
        ).result()
        call = account.get(call.id) or call
    if call.state == "answered":
        path = f"/images/{call.id}.png"
        account.saved(image_id(call.id, 0), path=path, sha256="ab", size_bytes=7).result()
    return account.get(call.id) or call


def main(arguments: Sequence[str]) -> None:
    """Buy keys in an order of chance, and die at a moment of the first, if one is given."""
    location, gateway, moment, *keys = arguments
    account = Account(location)
    account.prepare().result()
    _watch(account, moment)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    random.shuffle(keys)
    for key in keys:
        buy(account, gateway, key, moment)


def _watch(account: Account, moment: str) -> None:
    steps = iter(STEPS)
    submit = account._store.submit

    def watched(job: Callable[[Transaction], Any]) -> Any:
        step = next(steps)
        _die_if(moment == f"before {step}")

        def job_of_step(tx: Transaction) -> Any:
            value = job(tx)
            _die_if(moment == f"within {step}")
            return value

        commit = submit(job_of_step)
        commit.exception()
        _die_if(moment == f"after {step}")
        return commit

    if moment:
        account._store.submit = watched  # type: ignore[method-assign]


def _die_if(it_is_time: bool) -> None:
    if it_is_time:
        os.kill(os.getpid(), signal.SIGKILL)


def _post(gateway: str, key: str) -> Any:
    connection = http.client.HTTPConnection(urlsplit(gateway).netloc)
    try:
        connection.request("POST", "/", json.dumps({"key": key}))
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


if __name__ == "__main__":
    main(sys.argv[1:])
