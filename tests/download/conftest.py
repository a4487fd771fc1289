"""Hosts of images, both twins of a fetch, and no proxies of this machine."""

import asyncio
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import BinaryIO

import pytest
from image_host import Answer, Fetch, Host

from langchain_qwen_image.concurrency.threads import in_thread
from langchain_qwen_image.download.fetcher import Fetcher, ImageInfo


@pytest.fixture
def host() -> Iterator[Callable[..., Host]]:
    """Start hosts that end with the test."""
    with ExitStack() as stack:

        def start(*answers: Answer, tls: ssl.SSLContext | None = None) -> Host:
            started = Host(*answers, tls=tls)
            stack.callback(started.close)
            return started

        yield start


def _sync(fetcher: Fetcher, url: str, into: BinaryIO) -> ImageInfo:
    return fetcher.fetch(url, into)


def _async(fetcher: Fetcher, url: str, into: BinaryIO) -> ImageInfo:
    return asyncio.run(in_thread(fetcher.fetch, url, into))


@pytest.fixture(params=[_sync, _async], ids=["sync", "async"])
def fetch(request: pytest.FixtureRequest) -> Fetch:
    """Fetch by either twin."""
    return request.param


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the proxies of this machine out of the tests."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
