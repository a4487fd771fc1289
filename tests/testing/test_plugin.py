"""The pytest plugin and the cassette rules, in the test suite of a pytester."""

import gzip
import os
import re
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from loopback import LINK, LoopbackServer, answer

from langchain_qwen_image import QwenImageClient, QwenImageGenerator, QwenImageTool
from langchain_qwen_image import testing as testing_names
from langchain_qwen_image.errors import RateLimitError
from langchain_qwen_image.sandbox import SandboxServer, draw_plain
from langchain_qwen_image.testing import scrub_request, scrub_response, vcr_config
from langchain_qwen_image.testing.plugin import qwen_image_sandbox

__all__ = ["qwen_image_sandbox"]  # this suite keeps the plugin itself out, see pyproject.toml

pytest_plugins = ["pytester"]

PAGE = (Path(__file__).parents[2] / "docs" / "testing.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r'^```python title="([^"]+)"\n(.*?)^```$', PAGE, re.MULTILINE | re.DOTALL))

LEFT_OUT = [f"-pno:{name}" for name in ("langsmith_plugin", "anyio", "hypothesispytest", "xdist")]
"""Plugins that a host need not have, and that take long to load."""


class Request:
    """What of VCR's request the rules touch."""

    def __init__(self, uri: str, headers: dict[str, str], body: bytes | None = None) -> None:
        self.uri, self.headers, self.body = uri, headers, body


def _response(body: bytes, **headers: str) -> dict[str, Any]:
    return {"headers": {name: [value] for name, value in headers.items()}, "body": {"string": body}}


def test_fixture_leads_the_hosts_own_code_to_the_sandbox(qwen_image_sandbox: SandboxServer) -> None:
    """A tool, a generator and a client without settings ask the fixture's server."""
    QwenImageTool().invoke({"prompt": "one"})
    QwenImageGenerator().invoke("two")
    QwenImageClient().generate("three")
    assert [image.prompt for image in qwen_image_sandbox.images] == ["one", "two", "three"]
    assert [request.method for request in qwen_image_sandbox.requests] == ["POST"] * 3


def test_fixture_is_asked_in_the_environments_sandbox_too(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """Where a developer's shell turns the embedded sandbox on, the fixture's server is used."""
    monkeypatch.setenv("PIXAZO_SANDBOX", "1")
    server = request.getfixturevalue("qwen_image_sandbox")
    QwenImageGenerator().invoke("one")
    assert [image.prompt for image in server.images] == ["one"]


def test_fixture_plays_scenarios(qwen_image_sandbox: SandboxServer) -> None:
    """`.script(…)` says what the next POSTs meet, and after that all is well."""
    qwen_image_sandbox.script("429")
    client = QwenImageClient(max_retries=0)
    with pytest.raises(RateLimitError):
        client.generate("a fox")
    client.generate("a fox")
    assert len(qwen_image_sandbox.images) == 1


def test_fixture_shows_no_key(qwen_image_sandbox: SandboxServer) -> None:
    """What the fixture shows of a request does not hold its key."""
    QwenImageClient(api_key="key-of-the-host").generate("a fox")
    assert "key-of-the-host" not in repr(qwen_image_sandbox.requests)
    assert "key-of-the-host" not in str(qwen_image_sandbox.requests[0].headers)


@pytest.mark.slow
def test_plugin_is_found_and_costs_nothing_until_used(pytester: pytest.Pytester) -> None:
    """In a suite that does not use it, no module of ours that does work is loaded."""
    pytester.makepyfile(
        """
        import sys

        def test_nothing_is_imported():
            ours = {name for name in sys.modules if name.startswith("langchain_qwen_image")}
            assert ours == {
                "langchain_qwen_image",
                "langchain_qwen_image._lazy",
                "langchain_qwen_image.testing",
                "langchain_qwen_image.testing.plugin",
            }
            assert not {"httpx", "langchain_core", "pydantic"} & set(sys.modules)
        """
    )
    pytester.runpytest_subprocess("-p", "no:recording", *LEFT_OUT).assert_outcomes(passed=1)


@pytest.mark.slow
@pytest.mark.long  # the page runs it in the quick run
def test_example_of_the_docs_passes(pytester: pytest.Pytester) -> None:
    """The agent's test in docs/testing.md runs as it stands."""
    pytester.makepyfile(test_illustrator=FILES["test_illustrator.py"])
    pytester.runpytest_subprocess("-W", "error::ResourceWarning").assert_outcomes(passed=3)


ASYNC_TWIN = """
import asyncio

import pytest

from langchain_qwen_image import QwenImageClient


@pytest.mark.vcr
def test_async_client_draws():
    async def draw():
        result = await QwenImageClient(api_key="key-of-mine").agenerate("an owl", size="512*512")
        return await result.image.aread()

    assert asyncio.run(draw()).startswith(b"\\x89PNG")
"""


@pytest.mark.slow
def test_cassette_of_the_docs_is_recorded_clean_and_replayed_offline(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host's cassettes have no key and no signature, and replay without a server, both twins."""
    pytester.makeconftest(FILES["conftest.py"])
    pytester.makepyfile(test_cassette=FILES["test_cassette.py"], test_twin=ASYNC_TWIN)
    with SandboxServer(draw=draw_plain) as server:
        monkeypatch.setenv("PIXAZO_BASE_URL", server.base_url)
        pytester.runpytest_subprocess("--record-mode=once", *LEFT_OUT).assert_outcomes(passed=2)
        assert server.gateway.post_count == 2
        signatures = [image.url.partition("Signature=")[2] for image in server.images]
    cassettes = sorted(pytester.path.rglob("*.yaml"))
    assert len(cassettes) == 2
    for cassette in cassettes:
        recorded = cassette.read_text(encoding="utf-8")
        assert "key-of-mine" not in recorded
        assert recorded.count("REDACTED") >= 3
        assert all(len(one) > 20 and one not in recorded for one in signatures)
    pytester.runpytest_subprocess("--block-network", *LEFT_OUT).assert_outcomes(passed=2)


def test_hosts_own_functions_run_first() -> None:
    """The host's functions, one or a list of them, and its filters stay, before ours."""
    one, two = (lambda given: given), (lambda given: given)
    merged = vcr_config(
        {
            "before_record_request": one,
            "before_record_response": [one, two],
            "filter_headers": ["x-api-key"],
        }
    )
    assert merged["before_record_request"] == [one, scrub_request]
    assert merged["before_record_response"] == [one, two, scrub_response]
    assert merged["filter_headers"] == ["x-api-key"]
    assert vcr_config({"before_record": one})["before_record_request"] == [one, scrub_request]


def test_hosts_own_rules_are_in_force(tmp_path: Path) -> None:
    """Under VCR a host's functions and filters still do what they did, and ours redact the rest."""
    import vcr

    def no_images(request: Any) -> Any:
        return None if "/images/" in request.uri else request

    def marked(response: Any) -> Any:
        return {**response, "headers": {**response["headers"], "x-mine": ["1"]}}

    cassette = tmp_path / "c.yaml"
    host = {
        "before_record_request": no_images,
        "before_record_response": marked,
        "filter_headers": [("user-agent", "of-the-host")],
        "record_mode": "once",
    }
    with (
        SandboxServer(draw=draw_plain) as server,
        vcr.use_cassette(str(cassette), **vcr_config(host)),
        QwenImageClient(base_url=server.base_url, api_key="key-of-mine") as client,
    ):
        client.generate("a fox").image.read()
        (signature,) = [image.url.partition("Signature=")[2] for image in server.images]
    recorded = cassette.read_text(encoding="utf-8")
    assert recorded.count("- request:") == 1
    assert "x-mine" in recorded
    assert "of-the-host" in recorded
    assert "key-of-mine" not in recorded
    assert signature not in recorded


def test_hosts_configuration_is_left_alone() -> None:
    """The given dict is not changed, and no record mode is set."""
    own: dict[str, Any] = {"match_on": ["method"]}
    assert "record_mode" not in vcr_config(own)
    assert own == {"match_on": ["method"]}


@pytest.mark.parametrize(
    "link",
    [
        pytest.param("https://oss.example/a?Expires=1&OSSAccessKeyId=A1&Signature=s%2B", id="OSS"),
        pytest.param("https://s3.example/a?X-Amz-Credential=A1&X-Amz-Signature=s%2B", id="S3"),
        pytest.param("https://oss.example/a?x-oss-credential=A1&x-oss-signature=s%2B", id="OSS 4"),
        pytest.param("https://blob.example/a?sv=2&sig=s%2B", id="Azure"),
        pytest.param(
            "https://gs.example/a?X-Goog-Credential=A1&X-Goog-Signature=s%2B", id="Google"
        ),
        pytest.param("https://cos.example/a?q-ak=k&q-signature=s%2B", id="Tencent"),
        pytest.param(r"https://oss.example/a?Expires=1\u0026Signature=s%2B", id="escaped"),
    ],
)
def test_signatures_are_redacted_everywhere(link: str) -> None:
    """A signed link loses its signature in address, body and headers, and keeps its pytester."""
    body = f'{{"image": "{link}", "other": "saved"}}'.encode()
    request = scrub_request(Request(link, {"Cookie": "c"}, body))
    response = scrub_response(_response(body, Location=link, **{"Set-Cookie": "c"}))
    for text in (request.uri, request.body.decode(), str(response)):
        assert "s%2B" not in text
        assert "A1" not in text
        assert "REDACTED" in text
        assert "example/a" in text
    assert b'"other": "saved"' in response["body"]["string"]
    assert request.headers["Cookie"] == "REDACTED"
    assert "Set-Cookie" not in response["headers"]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"\x89PNG\r\n\x1a\n\xff&Signature=x", id="image"),
        pytest.param(b"", id="empty"),
        pytest.param(b"The signature=x of this contract", id="prose"),
    ],
)
def test_other_bodies_stay_as_they_are(body: bytes) -> None:
    """What holds no signed link is recorded byte for byte."""
    assert scrub_response(_response(body))["body"]["string"] == body
    assert scrub_request(Request("https://a.example/", {}, body)).body == body


def test_request_without_a_body_is_left_without() -> None:
    """A GET is redacted in its address and headers alone."""
    request = scrub_request(Request("https://oss.example/a?sig=s", {"Authorization": "a"}))
    assert request.body is None
    assert request.uri == "https://oss.example/a?sig=REDACTED"


def test_text_is_redacted_as_bytes_are() -> None:
    """A body that a cassette holds as text loses its signatures too."""
    response = scrub_response({"headers": {}, "body": {"string": "see /a?sig=s"}})
    assert response["body"]["string"] == "see /a?sig=REDACTED"


def test_compressed_answers_are_redacted_too(tmp_path: Path) -> None:
    """A signature inside a gzip answer does not reach the cassette."""
    import vcr

    body = gzip.compress(f'{{"image": "{LINK}"}}'.encode())
    said = answer(200, body, Content_Encoding="gzip", Content_Type="application/json")
    cassette = tmp_path / "c.yaml"
    with (
        LoopbackServer(said) as server,
        vcr.use_cassette(str(cassette), **vcr_config({"record_mode": "once"})),
    ):
        assert httpx.get(server.base_url).json() == {"image": LINK}
    recorded = cassette.read_text(encoding="utf-8")
    assert "images.example" in recorded
    assert "s%2Bt" not in recorded


def test_names_are_found_at_first_use() -> None:
    """The package lists its names, and has no others."""
    assert testing_names.vcr_config is vcr_config
    with pytest.raises(AttributeError, match="no attribute 'vcr_configuration'"):
        _ = testing_names.vcr_configuration


def test_other_tests_keep_their_environment() -> None:
    """A test that does not ask for the fixture sees nothing of it."""
    assert "PIXAZO_BASE_URL" not in os.environ
    assert "langchain_qwen_image.testing.plugin" in sys.modules
