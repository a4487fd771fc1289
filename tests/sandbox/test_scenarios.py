"""Every scenario, over both transports and over a real connection."""

import asyncio
import base64
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from langchain_qwen_image.sandbox import (
    SANDBOX_BASE_URL,
    SCENARIOS,
    Gateway,
    SandboxServer,
    SandboxTransport,
    draw_plain,
)

PATH = "/qwen-image/v1/generateMultimodeTextToImageRequest"
HEADERS = {"Cache-Control": "no-cache", "Ocp-Apim-Subscription-Key": "key-of-a-test"}
TIMEOUT = httpx.Timeout(5, read=0.3)
PNG = "200 image/png good"

# name: what the POST gives, then what each GET of its links gives
OUTCOMES = {
    "ok": ["200", PNG],
    "400": ["400 DashScope InvalidParameter"],
    "401": ["401 APIM Access denied due to invalid subscription key."],
    "402": ["402 document Insufficient credits"],
    "403": ["403 document Access denied for this operation"],
    "404": ["404 APIM Resource not found"],
    "413": ["413 text <html>"],
    "429": ["429 APIM Rate limit is exceeded. Retry-After 1"],
    "500": ["500 document An unexpected error occurred"],
    "502": ["502 text <html>"],
    "503": ["503 DashScope ModelUnavailable"],
    "504": ["504 text upstream request timeout"],
    "503-retry-after": ["503 APIM Service temporarily unavailable. Retry-After 1"],
    "429-once": ["429 APIM Rate limit is exceeded. Retry-After 1"],
    "503-once": ["503 APIM Service temporarily unavailable. Retry-After 1"],
    "quota": ["403 APIM Out of call volume quota. Retry-After 25280"],
    "balance": ["403 document Insufficient balance"],
    "arrearage": ["400 DashScope Arrearage"],
    "throttling": ["429 DashScope Throttling.RateQuota"],
    "free-quota": ["429 DashScope Throttling.AllocationQuota"],
    "moderation": ["400 DashScope DataInspectionFailed"],
    "moderation-500": ["500 DashScope InternalError.Algo.DataInspectionFailed"],
    "infringement": ["400 DashScope IPInfringementSuspect"],
    "nested-error": ["400 nested invalid_request_error"],
    "error-200": ["200 DashScope InternalError.Algo"],
    "malformed": ["200 text <html>"],
    "malformed-json": ["200 text {"],
    "empty": ["200 text "],
    "no-image": ["200"],
    "failed-task": ["200"],
    "redirect": ["307 to https://elsewhere.invalid/qwen-image"],
    "timeout": ["ReadTimeout"],
    "drop": ["RemoteProtocolError"],
    "reset": ["ReadError"],
    "truncated": ["RemoteProtocolError"],
    "drip": ["200", PNG],
    "slow": ["ReadTimeout"],
    "slow-0": ["200", PNG],
    "data-uri": ["200", "data:image/png good"],
    "two-images": ["200", PNG, PNG],
    "upstream-usage": ["200", PNG],
    "jpeg": ["200", "200 image/jpeg good"],
    "webp": ["200", "200 image/webp good"],
    "expired": ["200", "403 AccessDenied"],
    "image-404": ["200", "404 NoSuchKey"],
    "image-500": ["200", "500 InternalError"],
    "image-500-once": ["200", "500 InternalError"],
    "image-html": ["200", "200 image/png bad"],
    "image-truncated": ["200", "RemoteProtocolError"],
    "image-corrupt": ["200", "200 image/png bad"],
    "image-redirect": ["200", "302 to link"],
    "image-private": ["200", "302 to http://169.254.169.254/latest/meta-data/"],
    "image-drip": ["200", PNG],
    "image-drop": ["200", "RemoteProtocolError"],
    "no-such-scenario": ["400 document no scenario 'no-such-scenario'; there are ok, 400,"],
    "slow-301": ["400 document no scenario 'slow-301'; there are ok, 400,"],
}
TABLE = pytest.mark.parametrize("name", OUTCOMES)


def content(prompt: str) -> dict[str, object]:
    """Return the body of a request."""
    messages = [{"role": "user", "content": [{"text": prompt}]}]
    return {
        "model": "qwen-image",
        "input": {"messages": messages},
        "parameters": {"size": "512*512"},
    }


def describe(response: httpx.Response) -> str:
    """Return what an answer without images says, in one line."""
    parts = [str(response.status_code)]
    if "location" in response.headers:
        return f"{parts[0]} to {response.headers['location']}"
    try:
        match response.json():
            case {"output": _}:
                pass
            case {"error": {"code": code}}:
                parts += ["nested", code]
            case {"error": text}:
                parts += ["document", text]
            case {"statusCode": _, "message": text}:
                parts += ["APIM", text]
            case {"request_id": _, "code": code}:
                parts += ["DashScope", code]
    except ValueError:
        parts += ["text", response.text]
    if "retry-after" in response.headers:
        parts.append(f"Retry-After {response.headers['retry-after']}")
    return " ".join(parts)


def image_urls(response: httpx.Response) -> list[str]:
    """Return the links of an answer."""
    if '"image"' not in response.text:
        return []
    choices = response.json()["output"]["choices"]
    return [part["image"] for choice in choices for part in choice["message"]["content"]]


def verdict(data: bytes) -> str:
    """Say whether an image came whole."""
    return "good" if data == plain() else "bad"


def plain() -> bytes:
    """Return the image that the gateway of these tests serves."""
    return draw_plain("", size=(512, 512), watermark=True, seed_text="")


def describe_image(response: httpx.Response) -> str:
    """Say in one line what a link gave."""
    mime_type = response.headers.get("content-type", "")
    if mime_type == "application/xml":
        code = response.text.partition("<Code>")[2].partition("</Code>")[0]
        return f"{response.status_code} {code}"
    if "location" in response.headers:
        target = response.headers["location"]
        return f"{response.status_code} to {'link' if '/images/' in target else target}"
    return f"{response.status_code} {mime_type} {verdict(response.content)}"


def describe_data_uri(uri: str) -> str:
    """Say in one line what a `data:` URI holds."""
    start, _, data = uri.partition(";base64,")
    return f"{start} {verdict(base64.b64decode(data))}"


def play(client: httpx.Client, name: str) -> list[str]:
    """Send a prompt and fetch its links; say what came of each."""
    try:
        response = client.post(PATH, json=content(f"sandbox:{name} a boat"), headers=HEADERS)
    except httpx.TransportError as error:
        return [type(error).__name__]
    outcomes = [describe(response)]
    for url in image_urls(response):
        try:
            fetched = describe_data_uri(url)
            if not url.startswith("data:"):
                fetched = describe_image(client.get(url))
        except httpx.TransportError as error:
            fetched = type(error).__name__
        outcomes.append(fetched)
    return outcomes


async def play_async(client: httpx.AsyncClient, name: str) -> list[str]:
    """Do the same as `play`."""
    try:
        response = await client.post(PATH, json=content(f"sandbox:{name} a boat"), headers=HEADERS)
    except httpx.TransportError as error:
        return [type(error).__name__]
    outcomes = [describe(response)]
    for url in image_urls(response):
        try:
            fetched = describe_data_uri(url)
            if not url.startswith("data:"):
                fetched = describe_image(await client.get(url))
        except httpx.TransportError as error:
            fetched = type(error).__name__
        outcomes.append(fetched)
    return outcomes


def assert_outcomes(outcomes: list[str], name: str) -> None:
    """Compare with the table: the start of each text, and the whole Retry-After."""
    expected = OUTCOMES[name]
    assert len(outcomes) == len(expected)
    for outcome, start in zip(outcomes, expected, strict=True):
        text, _, retry_after = start.partition(" Retry-After ")
        assert outcome.startswith(text)
        assert outcome.partition(" Retry-After ")[2] == retry_after


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    """Serve without drawing, and drip fast."""
    with SandboxServer(draw=draw_plain, drip_seconds=0.0002) as server:
        yield server


@pytest.fixture
def transport(monkeypatch: pytest.MonkeyPatch) -> SandboxTransport:
    """Answer in process without drawing, and drip fast."""
    monkeypatch.setattr("langchain_qwen_image.sandbox.transport._DRIP_SECONDS", 0.001)
    return SandboxTransport(Gateway(SANDBOX_BASE_URL, draw=draw_plain))


def test_the_table_is_whole() -> None:
    """Every scenario has its row in the table of outcomes, and a sentence that describes it."""
    assert set(SCENARIOS) <= set(OUTCOMES)
    assert all(scenario.description.endswith(".") for scenario in SCENARIOS.values())


@TABLE
def test_scenario_in_process(transport: SandboxTransport, name: str) -> None:
    """A scenario gives a sync client in process the outcome of the table."""
    with httpx.Client(transport=transport, base_url=SANDBOX_BASE_URL, timeout=TIMEOUT) as client:
        assert_outcomes(play(client, name), name)


@TABLE
async def test_scenario_in_process_async(transport: SandboxTransport, name: str) -> None:
    """A scenario gives an async client in process the outcome of the table."""
    async with httpx.AsyncClient(
        transport=transport, base_url=SANDBOX_BASE_URL, timeout=TIMEOUT
    ) as client:
        assert_outcomes(await play_async(client, name), name)


@TABLE
def test_scenario_on_the_wire(server: SandboxServer, name: str) -> None:
    """A scenario gives a client over a real connection the outcome of the table."""
    with httpx.Client(base_url=server.base_url, timeout=TIMEOUT, trust_env=False) as client:
        assert_outcomes(play(client, name), name)


@pytest.mark.parametrize("name", ["429-once", "503-once"])
def test_once_is_once_for_each_body(transport: SandboxTransport, name: str) -> None:
    """The first POST of a body meets the trouble, the next ones succeed, another body meets it."""
    with httpx.Client(transport=transport, base_url=SANDBOX_BASE_URL) as client:
        statuses = [
            client.post(PATH, json=content(f"sandbox:{name} {word}"), headers=HEADERS).status_code
            for word in ("a", "a", "a", "b")
        ]
    status = int(name[:3])
    assert statuses == [status, 200, 200, status]


def test_image_500_once(transport: SandboxTransport) -> None:
    """The first GET of the link meets a 500, the next ones the image."""
    with httpx.Client(transport=transport, base_url=SANDBOX_BASE_URL) as client:
        response = client.post(PATH, json=content("sandbox:image-500-once"), headers=HEADERS)
        (url,) = image_urls(response)
        assert [client.get(url).status_code for _ in range(3)] == [500, 200, 200]


def test_image_redirect_leads_to_the_image(transport: SandboxTransport) -> None:
    """The link that redirects leads to the same image."""
    with httpx.Client(transport=transport, base_url=SANDBOX_BASE_URL) as client:
        response = client.post(PATH, json=content("sandbox:image-redirect"), headers=HEADERS)
        fetched = client.get(image_urls(response)[0], follow_redirects=True)
    assert fetched.content == plain()
    assert len(fetched.history) == 1


@pytest.mark.parametrize(
    "prompt",
    ["sandbox:402", "  SANDBOX: 402, please", "sandbox:402\nmore", "sandbox:402画"],
)
def test_prefix_is_read_tolerantly(transport: SandboxTransport, prompt: str) -> None:
    """Letter case, spaces and what follows the name do not matter."""
    with httpx.Client(transport=transport, base_url=SANDBOX_BASE_URL) as client:
        assert client.post(PATH, json=content(prompt), headers=HEADERS).status_code == 402


@pytest.mark.parametrize("prompt", ["a sandbox:402", "sandboxes: 402", "sand box:402"])
def test_other_prompts_name_no_scenario(transport: SandboxTransport, prompt: str) -> None:
    """Only a prefix names a scenario."""
    with httpx.Client(transport=transport, base_url=SANDBOX_BASE_URL) as client:
        assert client.post(PATH, json=content(prompt), headers=HEADERS).status_code == 200


def test_script_plays_in_order(transport: SandboxTransport) -> None:
    """Scripted scenarios are played by the next POSTs that pass the checks, one each."""
    transport.gateway.script("503", "ok", "429")
    with httpx.Client(transport=transport, base_url=SANDBOX_BASE_URL) as client:
        statuses = [
            client.post(PATH, json=content(prompt), headers=HEADERS).status_code
            for prompt in ("a", " ", "sandbox:401", "b", "c")
        ]
    assert statuses == [503, 400, 200, 429, 200]


def test_script_refuses_unknown_names() -> None:
    """An unknown name is refused when it is scripted, and nothing is queued."""
    gateway = Gateway(SANDBOX_BASE_URL, draw=draw_plain)
    with pytest.raises(KeyError, match="there are ok, 400"):
        gateway.script("503", "such")
    body = json.dumps(content("a")).encode()
    headers = {**HEADERS, "Content-Type": "application/json"}
    assert gateway.answer("POST", PATH, headers, body).status == 200


def test_two_images_differ(transport: SandboxTransport) -> None:
    """Two images of one answer have links of their own."""
    with httpx.Client(transport=transport, base_url=SANDBOX_BASE_URL) as client:
        urls = image_urls(client.post(PATH, json=content("sandbox:two-images"), headers=HEADERS))
    assert len({url.partition("?")[0] for url in urls}) == 2


def test_inline_images_are_not_remembered(transport: SandboxTransport) -> None:
    """Of an image that was given out as a `data:` URI the gateway keeps no bytes."""
    with httpx.Client(transport=transport, base_url=SANDBOX_BASE_URL) as client:
        client.post(PATH, json=content("sandbox:data-uri"), headers=HEADERS)
    assert [image.url for image in transport.gateway.images] == ["data:image/png;base64"]


def test_upstream_words(transport: SandboxTransport) -> None:
    """The upstream's words come as it says them: an empty code, no error, other usage names."""
    with httpx.Client(transport=transport, base_url=SANDBOX_BASE_URL) as client:
        response = client.post(PATH, json=content("sandbox:upstream-usage"), headers=HEADERS)
    document = response.json()
    assert (document["code"], document["success"]) == ("", True)
    assert document["usage"] == {
        "output_width": 512,
        "output_height": 512,
        "output_image_count": 1,
        "input_tokens": 0,
    }


def test_delay_within_the_read_timeout(transport: SandboxTransport) -> None:
    """A delay shorter than the read timeout, or without one, ends in success."""
    with httpx.Client(transport=transport, base_url=SANDBOX_BASE_URL, timeout=None) as client:
        response = client.post(PATH, json=content("sandbox:slow-1"), headers=HEADERS)
    assert response.status_code == 200


@pytest.mark.parametrize("host", ["gateway.pixazo.ai", "169.254.169.254", "localhost"])
def test_other_hosts_cannot_be_reached(transport: SandboxTransport, host: str) -> None:
    """The transport answers a sync client for its own host only."""
    with httpx.Client(transport=transport) as client, pytest.raises(httpx.ConnectError, match=host):
        client.get(f"https://{host}/")


async def test_other_hosts_cannot_be_reached_async(transport: SandboxTransport) -> None:
    """The transport answers an async client for its own host only."""
    async with httpx.AsyncClient(transport=transport) as client:
        with pytest.raises(httpx.ConnectError, match=r"169\.254"):
            await client.get("http://169.254.169.254/")


def test_one_transport_serves_loop_after_loop(transport: SandboxTransport) -> None:
    """The same transport answers in threads of which each runs an event loop of its own."""

    async def ask() -> int:
        async with httpx.AsyncClient(transport=transport, base_url=SANDBOX_BASE_URL) as client:
            asks = (client.post(PATH, json=content("a"), headers=HEADERS) for _ in range(20))
            return [answer.status_code for answer in await asyncio.gather(*asks)].count(200)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: asyncio.run(ask()), range(8))) == [20] * 8


def test_in_process_gateway_remembers_nothing() -> None:
    """By default the gateway in process counts requests without keeping any."""
    transport = SandboxTransport()
    with httpx.Client(transport=transport, base_url=SANDBOX_BASE_URL) as client:
        client.post(PATH, json=content("a"), headers=HEADERS)
    gateway = transport.gateway
    assert (gateway.post_count, gateway.requests, gateway.images) == (1, [], [])
