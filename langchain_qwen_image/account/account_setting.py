"""The setting that names an account, checked without opening it and without loading SQLite."""

import os
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator

from langchain_qwen_image.account.database_url import is_database_url
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

    AccountSetting = str | os.PathLike[str] | Account | None
else:
    AccountSetting = Annotated[Any, AfterValidator(checked_account)]
