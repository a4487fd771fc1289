"""A machine whose clock is ahead pays for no image again that its link still brings."""

import datetime
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest
from books import books

from langchain_qwen_image import QwenImageClient, QwenImageGenerator
from langchain_qwen_image.account.account import Account
from langchain_qwen_image.account.keys import NewCall
from langchain_qwen_image.bulk.request_ids import RequestIds
from langchain_qwen_image.sandbox import SandboxServer

KEY = "test-key-of-clocks"
PRICE = Decimal("0.045")


class Ahead(datetime.datetime):
    """A clock that is 36 hours ahead (WSL#10006)."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> "Ahead":
        """Return the wrong time."""
        ahead = super().now(tz) + datetime.timedelta(hours=36)
        return cls.fromtimestamp(ahead.timestamp(), tz)


@pytest.fixture
def generator(server: SandboxServer, tmp_path: Path) -> QwenImageGenerator:
    """A generator whose bulk run was killed when its request was answered."""
    generator = QwenImageGenerator(base_url=server.base_url, api_key=KEY, save_to=tmp_path)
    with QwenImageClient(base_url=server.base_url, api_key=KEY) as client:
        image = client.generate("a fox").image
    with closing(RequestIds()) as ids:
        item = ids.next_id(generator.checked("a fox"))
    account = Account(books(tmp_path))
    arguments = generator.checked("a fox")
    call = NewCall(
        "c1",
        "a fox",
        arguments.parameters().model_dump(),
        "qwen-image",
        server.base_url,
        PRICE,
        key=item,
        run="bulk",
    )
    account.asked(call)
    account.sent("c1", lease_seconds=250)
    images = [(image.id, image.url or "", image.expires_at)]
    account.answered("c1", request_id="r", cost_usd=PRICE, images=images).result(60)
    return generator


@pytest.mark.parametrize("retry_lost", [False, True], ids=["plain", "retry-lost"])
def test_a_good_link_is_fetched_whatever_the_clock_says(
    server: SandboxServer,
    generator: QwenImageGenerator,
    monkeypatch: pytest.MonkeyPatch,
    retry_lost: bool,
) -> None:
    """An expired link is asked for, by one GET, before its image is lost and paid for again."""
    monkeypatch.setattr("langchain_qwen_image.pipeline.replay.datetime", Ahead)
    outcomes = list(generator.generate_many(["a fox"], retry_lost=retry_lost))
    assert [outcome.status for outcome in outcomes] == ["reused"]
    assert server.gateway.post_count == 1
    assert sum(request.method == "GET" for request in server.requests) == 1
