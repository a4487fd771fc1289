"""The services that a page of the docs needs: an object store, a database, a gateway."""

from collections.abc import Callable

import pytest

from langchain_qwen_image.sandbox import SandboxServer

Services = Callable[[str], None]


@pytest.fixture
def services(
    server: SandboxServer, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Services:
    """Start the services that the text of a page needs, and set the variables that name them."""

    def start(text: str) -> None:
        if "s3://images" in text:
            request.getfixturevalue("bucket")
        if "qwen-image fleet" in text:
            monkeypatch.setenv("QWEN_IMAGE_DATABASE", request.getfixturevalue("database_url"))
        if 'title="test_' in text:
            monkeypatch.setenv("PIXAZO_BASE_URL", server.base_url)

    return start
