"""Answers of an undocumented shape: an image counts as one only when its bytes are one."""

from pathlib import Path
from typing import Any

import pytest
from books import books
from conftest import Call
from loopback import LoopbackServer, answer

from langchain_qwen_image import Budget, QwenImageGenerator, errors
from langchain_qwen_image.account import Account, CallRecord
from langchain_qwen_image.sandbox import draw_plain

PNG = draw_plain("a fox", size=(64, 64), watermark=False, seed_text="fox")
HTML = b"<html><body>not here</body></html>"


def serve(names_of_links: list[str], image: bytes, status: int = 200) -> LoopbackServer:
    """Serve links in an undocumented place, each of which leads to the same bytes."""

    def reply(request: bytes) -> bytes:
        host = request.partition(b"Host: ")[2].partition(b"\r\n")[0].decode()
        if request.startswith(b"POST "):
            links = [f"http://{host}/{name}" for name in names_of_links]
            return answer(body={"result": {"image_url": links}})
        return answer(status, image, Content_Type="application/octet-stream")

    return LoopbackServer(reply)


def at(server: LoopbackServer, **settings: Any) -> QwenImageGenerator:
    """Return a generator at the server."""
    return QwenImageGenerator(base_url=server.base_url, api_key="test-key-c", **settings)


def the_call(folder: Path) -> tuple[Account, CallRecord]:
    """Return the folder's account and its one call."""
    account = Account(books(folder))
    (call,) = account.calls()
    return account, call


@pytest.mark.parametrize("saves", [True, False], ids=["saved", "not saved"])
def test_bytes_of_an_image_are_an_image(call: Call, tmp_path: Path, saves: bool) -> None:
    """What leads to an image's bytes is the result, whatever place named it."""
    with serve(["x"], PNG) as server:
        result = call(at(server, save_to=tmp_path if saves else None), "invoke", "a fox")
        assert result.image.read() == PNG
        assert len(server.posts) == 1
    if saves:
        account, row = the_call(tmp_path)
        assert (row.state, account.read_raw_answer(row.id)) == ("saved", None)


@pytest.mark.parametrize("saves", [True, False], ids=["saved", "not saved"])
def test_other_bytes_are_no_image(call: Call, tmp_path: Path, saves: bool) -> None:
    """What leads to something else is malformed, may be billed, and its answer is kept."""
    budget = Budget(max_images=5)
    with serve(["x"], HTML) as server:
        generator = at(server, save_to=tmp_path if saves else None, budget=budget)
        with pytest.raises(errors.MalformedResponseError) as caught:
            call(generator, "invoke", "a fox")
        assert len(server.posts) == 1
    assert caught.value.may_have_been_billed
    assert (budget.images, budget.remaining_images) == (1, 4)
    if saves:
        account, row = the_call(tmp_path)
        assert row.state == "unknown"
        assert b"image_url" in (account.read_raw_answer(row.id) or b"")


def test_what_cannot_be_fetched_now_is_in_the_books(call: Call, tmp_path: Path) -> None:
    """When the link cannot be looked at, the error says so; link and answer are in the books."""
    with serve(["x"], b"gone", 404) as server:
        with pytest.raises(errors.DownloadError, match="404"):
            call(at(server, save_to=tmp_path), "invoke", "a fox")
        assert len(server.posts) == 1
    account, row = the_call(tmp_path)
    assert row.state == "answered"
    assert row.images[0].url.endswith("/x")
    assert b"image_url" in (account.read_raw_answer(row.id) or b"")


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        pytest.param({"done": True}, errors.MalformedResponseError, id="nothing"),
        pytest.param({"note": "Insufficient balance"}, errors.QwenImageError, id="words of money"),
    ],
)
def test_raw_answer_without_any_image_is_kept(
    said: dict[str, Any], kind: type[errors.QwenImageError], call: Call, tmp_path: Path
) -> None:
    """A 2xx without an image stays in the account, whole; no message has a signed link of it."""
    body = said | {"page": "https://docs.example/help?Signature=a-secret-word"}
    with LoopbackServer(answer(body=body)) as server:
        with pytest.raises(kind) as caught:
            call(at(server, save_to=tmp_path), "invoke", "a fox")
    account, row = the_call(tmp_path)
    assert row.state == "unknown"
    assert row.has_raw_answer
    assert b"a-secret-word" in (account.read_raw_answer(row.id) or b"")
    assert "a-secret-word" not in repr(row) + str(caught.value)
    assert caught.value.may_have_been_billed


def test_what_is_kept_of_a_raw_answer_is_bounded(call: Call, tmp_path: Path) -> None:
    """An answer is kept up to four thirds of the largest image: an inline image must fit."""
    with LoopbackServer(answer(body=b"x" * 5000)) as server:
        with pytest.raises(errors.MalformedResponseError):
            call(at(server, save_to=tmp_path, max_image_bytes=3000), "invoke", "a fox")
    account, row = the_call(tmp_path)
    assert account.read_raw_answer(row.id) == b"x" * 4000


def test_more_images_than_were_asked_for_cost_one(call: Call, tmp_path: Path) -> None:
    """Further images are saved at no cost, with a warning; equal links are one image."""
    budget = Budget(max_images=5)
    with serve(["x", "y", "x"], PNG) as server:
        result = call(at(server, save_to=tmp_path, budget=budget), "invoke", "a fox")
    assert len(result.images) == len(list(tmp_path.glob("*.png"))) == 2
    assert (result.cost_usd, result.warnings != []) == (0.045, True)
    assert float(budget.spent_usd) == 0.045
