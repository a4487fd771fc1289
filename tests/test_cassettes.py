"""Cassettes: what the API document says, and what the sandbox server says, replayed."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from conftest import Call
from quick import quick

from cassettes import FOLDER, SANDBOX_URL
from langchain_qwen_image import QwenImageClient, QwenImageGenerator, QwenImageTool
from langchain_qwen_image import errors as tree
from langchain_qwen_image.sandbox import Gateway, SandboxServer, draw_plain, queue, success

# The sample request of the gateway's API document.
SAMPLE_PROMPT = (
    "An elegant and solemn couplet hangs in a hall. The room has a quiet and classic Chinese decor."
    " The left scroll reads 'Righteousness is the root of innate knowledge; humans and machines"
    " share the same path and excel in new thinking.' The right scroll reads 'Connecting clouds"
    " grants wisdom; the universe reveals numbers, inspiring lofty ambitions.' The horizontal"
    " scroll reads 'Wisdom enlightens Tongyi.' The calligraphy is flowing. A Chinese-style painting"
    " of Yueyang Tower hangs in the middle."
)
_KEY = "test-key-0123456789abcdef"
_RECORDED_AT = 1_800_000_000.0
_REQUEST_ID = "5a4e0b1d-77c2-9e0f-8a43-000000000000"

DOCUMENT = {
    "success": None,
    "400": tree.InvalidRequestError,
    "401": tree.AuthenticationError,
    "403": tree.PermissionDeniedError,
    "404": tree.NotFoundError,
    "429": tree.RateLimitError,
    "500": tree.ServerError,
}
# Both bodies of a success that the owner documents for this route.
SHAPES = ("success", "images")
# name of the cassette: prompt, error, POSTs
SANDBOX = {
    "success": ("a red fox in the snow", None, 1),
    "images-shape": ("sandbox:images-shape", None, 1),
    "queued": ("sandbox:queued", None, 1),
    "throttled-once": ("sandbox:429-once", None, 2),
    "busy": ("sandbox:503-retry-after", tree.ServerError, 3),
    "quota": ("sandbox:quota", tree.QuotaExceededError, 1),
    "moderation": ("sandbox:moderation", tree.ContentRejectedError, 1),
    "malformed": ("sandbox:malformed", tree.MalformedResponseError, 1),
}
LIVE = ("success",)

pytest_plugins = ["pytester"]


def _cases(kind: str, names: Any) -> list[Any]:
    return [
        pytest.param(name, id=name, marks=pytest.mark.default_cassette(f"{kind}/{name}.yaml"))
        for name in names
    ]


@pytest.fixture
def sandbox_url(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return the address in the sandbox cassettes; while recording, a server stands there.

    Its clock stands still and its request ids are one, so that a second recording is the same.
    """
    if request.config.getoption("--record-mode") is None:
        yield SANDBOX_URL
    else:
        for module in (success, queue):
            monkeypatch.setattr(module, "uuid", SimpleNamespace(uuid4=lambda: _REQUEST_ID))
        with SandboxServer(8765, draw=draw_plain) as server:
            server.gateway = Gateway(server.base_url, draw=draw_plain, now=lambda: _RECORDED_AT)
            yield server.base_url


@pytest.mark.vcr
@pytest.mark.parametrize("name", _cases("document", DOCUMENT))
def test_document(name: str, call: Call) -> None:
    """The document's sample request gives its sample response, and each documented error."""
    client = QwenImageClient(api_key=_KEY, max_retries=0)
    kind = DOCUMENT[name]
    if kind is not None:
        with pytest.raises(kind) as caught:
            call(client, "generate", SAMPLE_PROMPT)
        assert caught.value.status_code == int(name)
        return
    result = call(client, "generate", SAMPLE_PROMPT)
    assert result.image.url == "https://example.com/generated-image.png"
    assert result.request_id == "7a270c86-db58-9faf-b403-xxxxxx"
    assert (result.image.width, result.image.height) == (1328, 1328)
    assert (result.finish_reason, result.cost_usd) == ("stop", 0.045)


@pytest.mark.vcr
@pytest.mark.parametrize("name", _cases("document", SHAPES))
@pytest.mark.parametrize("face", [QwenImageClient, QwenImageGenerator, QwenImageTool])
def test_both_shapes(name: str, face: Any, call: Call) -> None:
    """Either documented success is a result with the image's link, through every face."""
    made = face(api_key=_KEY, max_retries=0)
    link = "https://example.com/generated-image.png"
    if isinstance(made, QwenImageTool):
        arguments = {"prompt": SAMPLE_PROMPT}
        message = call(
            made,
            "invoke",
            {"name": made.name, "args": arguments, "id": "call_1", "type": "tool_call"},
        )
        assert message.status == "success"
        (image,) = message.artifact["images"]
        assert (image["url"], message.artifact["cost_usd"]) == (link, 0.045)
        return
    result = call(made, "generate" if face is QwenImageClient else "invoke", SAMPLE_PROMPT)
    assert [image.url for image in result.images] == [link]
    assert result.cost_usd == 0.045


@pytest.mark.vcr
@pytest.mark.record_sandbox
@pytest.mark.parametrize("name", _cases("sandbox", SANDBOX))
def test_sandbox(name: str, sandbox_url: str, tmp_path: Path) -> None:
    """What the sandbox server said over real HTTP is read again, image included."""
    prompt, kind, _ = SANDBOX[name]
    generator = QwenImageGenerator(
        base_url=sandbox_url, api_key=_KEY, size="512*512", save_to=tmp_path
    )
    quick(generator)
    if kind is not None:
        with pytest.raises(kind):
            generator.invoke(prompt)
        return
    image = generator.invoke(prompt).image
    assert (image.mime_type, image.width, image.height) == ("image/png", 512, 512)
    assert image.path is not None
    assert Path(image.path).read_bytes().startswith(b"\x89PNG")


@pytest.mark.vcr
@pytest.mark.record_live
@pytest.mark.parametrize("name", _cases("live", LIVE))
def test_live(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """What the paid gateway said is read again; skipped until somebody has recorded it."""
    recording = request.config.getoption("--record-mode") is not None
    if not recording and not (FOLDER / "live" / f"{name}.yaml").exists():
        pytest.skip("nobody has recorded it: qwen-image check --live")
    key = _RECORDING_KEY or _KEY
    generator = QwenImageGenerator(api_key=key, size="512*512", save_to=tmp_path)
    assert generator.invoke("a red fox in the snow").image.path is not None


# Read before the fixture that keeps a developer's key out of the tests.
_RECORDING_KEY = os.environ.get("PIXAZO_API_KEY") if os.environ.get("QWEN_IMAGE_RECORD") else None


def test_no_orphans() -> None:
    """Every cassette is played by a test, and every one that a test wants is there."""
    there = {str(file.relative_to(FOLDER)) for file in FOLDER.rglob("*.yaml")}
    wanted = {f"document/{name}.yaml" for name in (*DOCUMENT, *SHAPES)}
    wanted |= {f"sandbox/{name}.yaml" for name in SANDBOX}
    assert there - {f"live/{name}.yaml" for name in LIVE} == wanted


@pytest.mark.parametrize("name", SANDBOX)
def test_posts_recorded(name: str) -> None:
    """A sandbox cassette holds as many POSTs as the retry rule allows, each once."""
    recorded = yaml.safe_load((FOLDER / "sandbox" / f"{name}.yaml").read_text(encoding="utf-8"))
    methods = [interaction["request"]["method"] for interaction in recorded["interactions"]]
    assert methods.count("POST") == SANDBOX[name][2]


@pytest.mark.parametrize("file", sorted(FOLDER.rglob("*.yaml")), ids=lambda file: file.stem)
def test_no_secrets(file: Path) -> None:
    """No key, cookie or signature stands in a cassette."""
    text = file.read_text(encoding="utf-8")
    assert _KEY not in text
    assert not re.search(r"(signature|credential|ossaccesskeyid)=(?!REDACTED)", text, re.I)
    for interaction in yaml.safe_load(text)["interactions"]:
        sent = {name.lower(): v for name, v in interaction["request"]["headers"].items()}
        assert sent.get("ocp-apim-subscription-key", ["REDACTED"]) == ["REDACTED"]
        assert not {"cookie", "authorization"} & set(sent)
        assert "set-cookie" not in {name.lower() for name in interaction["response"]["headers"]}


@pytest.mark.vcr
@pytest.mark.default_cassette("document/success.yaml")
def test_sent_twice_fails() -> None:
    """A request that is sent a second time finds no answer: VCR's own error stays visible."""
    client = QwenImageClient(api_key=_KEY)
    client.generate(SAMPLE_PROMPT)
    with pytest.raises(Exception, match="overwrite existing cassette"):
        client.generate(SAMPLE_PROMPT)


@pytest.mark.vcr
@pytest.mark.default_cassette("document/success.yaml")
def test_other_body_fails() -> None:
    """A request with another body finds no answer."""
    client = QwenImageClient(api_key=_KEY)
    with pytest.raises(Exception, match="overwrite existing cassette"):
        client.generate(SAMPLE_PROMPT, watermark=False)
    client.generate(SAMPLE_PROMPT)


def test_part_played_fails(pytester: pytest.Pytester) -> None:
    """A test that plays a part of its cassette fails, by the rule of the suite's conftest."""
    here = Path(__file__).parent
    for name in ("conftest.py", "cassettes.py"):
        pytester.path.joinpath(name).write_text((here / name).read_text(encoding="utf-8"))
    pytester.path.joinpath("cassettes.py").write_text(
        (here / "cassettes.py")
        .read_text(encoding="utf-8")
        .replace("Path(__file__).parents[1]", f"Path({str(here.parent)!r})")
    )
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.vcr
        @pytest.mark.default_cassette("document/success.yaml")
        def test_sends_nothing():
            pass
        """
    )
    plain = ["-p", "no:cacheprovider", "-o", "asyncio_default_fixture_loop_scope=function"]
    pytester.runpytest_inprocess(*plain).assert_outcomes(passed=1, errors=1)
