"""What people write and what disks name, in either store."""

import os
from pathlib import Path

import pytest
from account_steps import PRICE, call_of, entry, walk

from langchain_qwen_image.account.account import Account
from langchain_qwen_image.errors import AccountError

_PROMPTS = ["a\0b", "图\U0001f98a", "\ufffe0000", "\\x41", "it's 100% :sure", "\u200b"]


@pytest.mark.parametrize("prompt", _PROMPTS, ids=ascii)
def test_a_prompt_comes_back(account: Account, prompt: str):
    """A prompt is stored as it is, also where the database has no place for a character."""
    account.asked(entry(prompt=prompt, parameters={"negative_prompt": prompt})).result()
    assert call_of(account).prompt == prompt
    assert call_of(account).parameters == {"negative_prompt": prompt}


def test_a_prompt_that_is_no_text_is_written_out(account: Account):
    """A lone surrogate, for which UTF-8 has no bytes, is written as its escape."""
    account.asked(entry(prompt="\ud800!")).result()
    assert call_of(account).prompt == "\\ud800!"


@pytest.mark.parametrize("name", [b"plain.png", b"\xff\xfe.png", b"\xe5\x9b\xbe.png", b"\\x41.png"])
def test_a_path_of_any_bytes_finds_its_image(account: Account, name: bytes):
    """Names of files are bytes; one that is no UTF-8 is stored and found all the same."""
    path = Path(os.fsdecode(b"/images/" + name))
    walk(account, "asked sent answered")
    account.saved("c1-image", path=path, sha256="ab", size_bytes=7).result()
    image = account.find_image(path)
    assert image is not None
    assert image.path == str(path)
    assert call_of(account).images == (image,)


@pytest.mark.parametrize("size", [2**31, 10**11])
def test_big_numbers_are_stored(account: Account, size: int):
    """A size may have more than 32 bits."""
    walk(account, "asked sent answered")
    account.saved("c1-image", path="a.png", sha256="ab", size_bytes=size).result()
    assert call_of(account).images[0].size_bytes == size


def test_a_number_that_is_too_big_is_refused(account: Account):
    """What does not fit fails its step, and the account goes on."""
    walk(account, "asked sent answered")
    with pytest.raises(AccountError):
        account.saved("c1-image", path="a.png", sha256="ab", size_bytes=2**63).result()
    walk(account, "saved")
    assert account.spent_usd == PRICE
