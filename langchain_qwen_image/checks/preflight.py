"""Refuse a call that this machine would make fail for certain, before its POST is paid for."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

from langchain_qwen_image.account.schema import sqlite_problem
from langchain_qwen_image.checks.bucket import bucket_problem
from langchain_qwen_image.checks.folder import account_problem, folder_problem, name_problem
from langchain_qwen_image.checks.network import ENVIRONMENT, network_problem
from langchain_qwen_image.defaults import BASE_URL
from langchain_qwen_image.errors import ConfigurationError

_MOST_REMEMBERED = 1_000
_SENT = "Nothing was sent"
_passed: set[object] = set()
_checking = threading.Lock()


def preflight(
    *,
    folder: Path | None,
    account: Path | None,
    sandbox: bool,
    own_http_client: bool,
    base_url: str = BASE_URL,
    address: str | None = None,
) -> None:
    """Check once for each process and setting; a setting that passed costs microseconds.

    What fails is looked at again at the next call, since a person may have put it right.

    Args:
        folder: Where images are to be saved, if in a folder.
        account: File of the account, if there is one.
        sandbox: Nothing is sent over the network.
        own_http_client: The caller's client sends the POST, and its certificates and proxies serve
            the fetch too.
        base_url: Address of the gateway.
        address: Where images are to be saved, if in an object store; a small object is written.

    Raises:
        ConfigurationError: The call would fail for certain; the message names cause and way out.
    """
    environment = None if sandbox else tuple(map(os.environ.get, ENVIRONMENT))
    setting = (
        os.getpid(),
        folder,
        address,
        account,
        sandbox,
        own_http_client,
        base_url,
        environment,
    )
    if setting in _passed:
        return
    with _checking:
        if setting in _passed:
            return
        by_network = None if sandbox or own_http_client else network_problem(base_url)
        problem = next(filter(None, _problems_of_place(folder, address, account)), by_network)
        if problem is not None:
            raise ConfigurationError(problem + " Nothing was sent." * (_SENT not in problem))
        if len(_passed) >= _MOST_REMEMBERED:
            _passed.clear()
        _passed.add(setting)


def _problems_of_place(
    folder: Path | None, address: str | None, account: Path | None
) -> Iterator[str | None]:
    if folder is not None:
        yield name_problem(folder)
        yield folder_problem(folder)
    if account is not None:
        yield sqlite_problem()
        yield account_problem(account)
    if address is not None:
        yield bucket_problem(address)


def _forget_the_lock() -> None:
    """Replace a lock that another thread held when the process forked."""
    global _checking
    _checking = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_the_lock)
