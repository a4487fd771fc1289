"""Leases that end at once: what a test does not want to wait for."""

from langchain_qwen_image.account.account import Account
from langchain_qwen_image.account.store import Transaction


def end_leases(account: Account) -> None:
    """Let the time of every request that was sent be over, by the account's clock."""

    def end(tx: Transaction) -> None:
        tx.execute(
            "UPDATE calls SET lease_until = :now WHERE state = 'sent'", {"now": tx.now() - 1}
        )

    account.store.submit(end).result(60)
