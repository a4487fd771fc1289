"""The setting `account`: which books a call is entered in, and that its password stays in it."""

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest

from langchain_qwen_image import Budget, QwenImageClient, QwenImageGenerator, QwenImageTool
from langchain_qwen_image.account.account import Account
from langchain_qwen_image.errors import ConfigurationError

URL = "postgresql://user:secret-word@db.example/images"
faces = pytest.mark.parametrize("face", [QwenImageTool, QwenImageGenerator])


@faces
def test_the_old_name_is_refused(face: Any) -> None:
    """`ledger=` says what it is called now."""
    with pytest.raises(ConfigurationError, match="account="):
        face(sandbox=True, ledger="calls.db")


@faces
def test_a_password_stays_in_it(face: Any, tmp_path: Path) -> None:
    """Of an address no repr, dump, pickle or message has the password."""
    one = face(sandbox=True, account=URL)
    shown = [repr(one), str(one), repr(one.model_dump(exclude={"args_schema"}))]
    shown += [repr(pickle.dumps(one)), repr(one.account), repr(one.pipeline)]
    assert "db.example" in shown[0]
    assert not [text for text in shown if "secret-word" in text]
    assert "secret-word" not in repr(pickle.dumps(QwenImageClient(sandbox=True, account=URL)))
    assert copy.deepcopy(one).account is one.account


@pytest.mark.parametrize("given", ["", 7, object(), "postgres:/host"])
def test_what_names_no_account_is_refused(given: Any) -> None:
    """An empty text, another kind of thing, and an address that cannot be read."""
    with pytest.raises(ConfigurationError):
        QwenImageGenerator(sandbox=True, account=given)


@faces
def test_who_decides(face: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The argument, then the variable (not for the sandbox), then the folder's own, then none."""
    named, by_variable, folder = tmp_path / "a.db", tmp_path / "b.db", tmp_path / "images"

    def place(**settings: Any) -> Path | None:
        account = face(**{"api_key": "test-key-0123456789", **settings}).pipeline.account
        return None if account is None else account.path

    assert place() is None
    own = place(save_to=folder)
    assert own is not None
    monkeypatch.setenv("QWEN_IMAGE_DATABASE", str(by_variable))
    assert place() == place(save_to=folder) == by_variable
    assert place(save_to=folder, account=named) == place(account=Account(named)) == named
    assert place(save_to=folder, sandbox=True, api_key=None) == own


@faces
def test_a_budget_of_an_account(face: Any, tmp_path: Path) -> None:
    """`Budget.file` makes its file the account; beside another one it is refused at once."""
    budget = Budget.file(tmp_path / "a.db", max_images=1)
    for settings in ({}, {"save_to": tmp_path / "images"}, {"account": tmp_path / "a.db"}):
        account = face(sandbox=True, budget=budget, **settings).pipeline.account
        assert account.path == tmp_path / "a.db"
    with pytest.raises(ConfigurationError, match="another"):
        face(sandbox=True, budget=budget, account=tmp_path / "b.db")
