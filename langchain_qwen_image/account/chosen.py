"""Which account a call is entered in, by its settings."""

from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from langchain_qwen_image.account.account import Account
from langchain_qwen_image.account.belonging import Belonging
from langchain_qwen_image.account.places import books_of
from langchain_qwen_image.errors import ConfigurationError

if TYPE_CHECKING:
    from langchain_qwen_image.account.budget import Budget

Location: TypeAlias = str | PathLike[str] | Account


def account_of(
    account: Location | None,
    folder: Path | None,
    *,
    sandbox: bool,
    budget: "Budget | None" = None,
    has_paid_images: Callable[[Path], bool] = lambda folder: False,
    is_served: bool = False,
) -> tuple[Account | None, Belonging | None]:
    """Return the account of a call, and what makes it ready; both None if it is entered nowhere.

    Args:
        account: What the caller named.
        folder: Where images are saved, if that is a folder.
        sandbox: Whether the sandbox answers, which the environment names no account for.
        budget: The call's budget, which may be that of an account.
        has_paid_images: Looks for sidecars of paid calls in a folder that has no account.
        is_served: Whether browsers see the images of the folder, so that books are warned of there.

    Raises:
        ConfigurationError: Account and budget are of two accounts, or an address cannot be one.
    """
    of_budget = None if budget is None else budget.account
    named = of_budget if account is None else opened(account)
    if named is None:
        place = books_of(None, folder, sandbox=sandbox)
        return (
            (None, None)
            if place is None
            else (
                opened(place.location),
                Belonging(place, has_paid_images, is_served=is_served),
            )
        )
    if of_budget is not None and named.store is not of_budget.store:
        raise ConfigurationError(
            "The budget counts in an account of its own, and account=… names another one. Give "
            "both the same path, or set the limit on the account: Account(path, max_usd=…)."
        )
    place = books_of(named.path or named.location, folder, sandbox=sandbox)
    if place is None:
        return named, None
    return named, Belonging(place, has_paid_images, is_served=is_served)


def opened(account: Location) -> Account:
    """Return the account that a path, an address or itself names; nothing is opened yet."""
    return account if isinstance(account, Account) else Account(account)
