"""The setting that names an account, checked without opening it and without loading SQLite."""

import os
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator

from langchain_qwen_image.account.database_url import is_database_url
from langchain_qwen_image.environment import on_event_loop
from langchain_qwen_image.errors import ConfigurationError


def checked_account(account: Any) -> Any:
    """Return a setting that can name an account; an address becomes an `Account`, which hides it.

    Raises:
        ConfigurationError: It names none; the message shows no password.
    """
    if account is None or isinstance(account, os.PathLike):
        return account
    is_text = isinstance(account, str) and account.strip() != ""
    if is_text and not is_database_url(account):
        return account
    from langchain_qwen_image.account.account import Account

    if is_text:
        return Account(account)
    if isinstance(account, Account):
        return account
    raise ConfigurationError(
        "account must be a path, a postgresql:// address or an Account, not "
        f"{'an empty text' if account == '' else type(account).__name__}."
    )


def check_budget(account: Any, budget: "Budget | None", *, sandbox: bool) -> None:
    """See that a budget which counts in an account counts in the one that was named, if one was.

    On an event loop the first call sees to it: to compare two paths reads the disk.

    Raises:
        ConfigurationError: They are two.
    """
    if account is None or budget is None or budget.account is None or on_event_loop():
        return
    from langchain_qwen_image.account.chosen import account_of

    account_of(account, None, sandbox=sandbox, budget=budget)


def refuse_ledger(given: Any) -> None:
    """Refuse the name that the setting had in version 0.1.

    Raises:
        ConfigurationError: It was given.
    """
    if isinstance(given, dict) and "ledger" in given:
        raise ConfigurationError(
            "ledger=… is called account=… now: the same path names the books of an account."
        )


if TYPE_CHECKING:
    from langchain_qwen_image.account.account import Account
    from langchain_qwen_image.account.budget import Budget

    AccountSetting = str | os.PathLike[str] | Account | None
else:
    AccountSetting = Annotated[Any, AfterValidator(checked_account)]
