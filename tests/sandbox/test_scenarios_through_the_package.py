"""What the package makes of the sandbox's paid answers: each is an image, for one POST."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Call
from quick import quick

from langchain_qwen_image import QwenImageGenerator
from langchain_qwen_image.errors import (
    MalformedResponseError,
    QwenImageError,
    RequestTimeoutError,
    ServerError,
)
from langchain_qwen_image.sandbox import (
    SCENARIOS,
    Gateway,
    SandboxServer,
    SandboxTransport,
    Shape,
    draw_plain,
)

PAID = [
    name
    for name, scenario in SCENARIOS.items()
    if scenario.layer == "success" and scenario.delay_seconds == 0
]
QUEUED = {
    "queued": None,
    "queued-200": None,
    "queued-0": None,
    "queued-failed": ServerError,
    "queued-error": ServerError,
    "queued-lost": RequestTimeoutError,
    "queued-elsewhere": MalformedResponseError,
}
Make = Callable[..., tuple[QwenImageGenerator, Gateway]]


@pytest.fixture(params=["embedded", "on-loopback"])
def make(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Make]:
    """Make a generator that saves, and the gateway that it asks: in this process, or a server."""
    running: list[SandboxServer] = []

    def embedded(shape: Shape, **settings: Any) -> tuple[QwenImageGenerator, Gateway]:
        transport = SandboxTransport(
            Gateway("https://sandbox.invalid", draw=draw_plain, shape=shape)
        )
        monkeypatch.setattr("langchain_qwen_image.sandbox.SandboxTransport", lambda: transport)
        return QwenImageGenerator(sandbox=True, **settings), transport.gateway

    def on_loopback(shape: Shape, **settings: Any) -> tuple[QwenImageGenerator, Gateway]:
        server = SandboxServer(draw=draw_plain, shape=shape)
        running.append(server)
        settings = {"base_url": server.base_url, "api_key": "k", **settings}
        return QwenImageGenerator(**settings), server.gateway

    def made(shape: Shape = "document", **settings: Any) -> tuple[QwenImageGenerator, Gateway]:
        choose = embedded if request.param == "embedded" else on_loopback
        generator, gateway = choose(shape, save_to=tmp_path / "images", size="512*512", **settings)
        return quick(generator), gateway

    yield made
    for server in running:
        server.close()


@pytest.mark.parametrize("name", PAID)
def test_every_paid_answer_is_an_image(make: Make, call: Call, name: str) -> None:
    """Whatever the shape, the wrapping and the label: one POST, and the image is saved."""
    generator, gateway = make()
    result = call(generator, "invoke", f"sandbox:{name} a fox")
    assert gateway.post_count == 1
    assert len(result.images) == SCENARIOS[name].images
    for image in result.images:
        assert image.path is not None
        assert Path(image.path).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("shape", ["document", "images"])
def test_both_of_the_owners_shapes(make: Make, call: Call, shape: Shape) -> None:
    """Either success body is the gateway's usual one, and the result is the same."""
    generator, gateway = make(shape)
    results = [call(generator, "invoke", prompt) for prompt in ("a fox", "sandbox:two-images")]
    assert [len(result.images) for result in results] == [1, 2]
    assert all(image.path for result in results for image in result.images)
    assert gateway.post_count == 2


@pytest.mark.parametrize(("name", "error"), QUEUED.items())
def test_a_queue(make: Make, call: Call, name: str, error: type[QwenImageError] | None) -> None:
    """A queued request is asked for until it is done, failed or given up; with one POST."""
    generator, gateway = make(timeout=1.0 if name == "queued-lost" else 60.0)
    if error is None:
        assert call(generator, "invoke", f"sandbox:{name} a fox").image.path is not None
    else:
        with pytest.raises(error):
            call(generator, "invoke", f"sandbox:{name} a fox")
    assert gateway.post_count == 1
    if name == "queued-elsewhere":
        assert gateway.poll_count == 0
    elif name != "queued-lost":  # how often in a second depends on the machine
        assert gateway.poll_count == 2


def test_what_is_in_no_known_place(make: Make, call: Call) -> None:
    """A paid answer in no known shape is an error that says that it may be billed."""
    generator, gateway = make()
    with pytest.raises(MalformedResponseError) as caught:
        call(generator, "invoke", "sandbox:unknown-shape a fox")
    assert caught.value.may_have_been_billed
    assert "Signature" not in str(caught.value)
    assert gateway.post_count == 1
