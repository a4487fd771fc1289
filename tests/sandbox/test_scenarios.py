"""Every scenario, over both transports and over a real connection."""

import asyncio
import base64
import gzip
import json
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import httpx
import pytest
from thinned import thinned

from langchain_qwen_image.client import QwenImageClient
from langchain_qwen_image.errors import InvalidRequestError
from langchain_qwen_image.sandbox import (
    SANDBOX_BASE_URL,
    SCENARIOS,
    Gateway,
    SandboxServer,
    SandboxTransport,
    Shape,
    draw_plain,
    serve,
)

PATH = "/qwen-image/v1/generateMultimodeTextToImageRequest"
HEADERS = {"Cache-Control": "no-cache", "Ocp-Apim-Subscription-Key": "key-of-a-test"}
KEY = {"Ocp-Apim-Subscription-Key": "key-of-a-test"}
INLINE = ("data:", "iVBORw0KGgo")
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
    "wallet": ["403 document Forbidden"],
    "card-required": ["402 document card_required"],
    "bandwidth": ["403 APIM Out of bandwidth quota. Quota will be replenished in 01:00:00."],
    "free-tier": ["403 DashScope AllocationQuota.FreeTierOnly"],
    "model-disabled": ["400 document Model not found"],
    "moderation-task": ["200"],
    "moderation-422": ["422 document The prompt was flagged by the content checker."],
    "policy": ["400 DashScope content_policy_violation"],
    "firewall": ["403 text <html>"],
    "firewall-code": ["403 text error code: 1010"],
    "429-text": ["429 APIM Rate limit is exceeded. Try again in 26 seconds."],
    "inner-status": ["200"],
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
    "unknown-shape": ["200", PNG],
    "document-shape": ["200", PNG],
    "images-shape": ["200", PNG],
    "media-url": ["200", PNG],
    "output-link": ["200", PNG],
    "image-url": ["200", PNG],
    "content-object": ["200", PNG],
    "content-text": ["200", PNG],
    "text-beside": ["200", PNG],
    "null-error": ["200", PNG],
    "same-link": ["200", PNG, PNG, PNG],
    "untrimmed-link": ["200", PNG],
    "relative-link": ["200", PNG],
    "no-scheme": ["200", PNG],
    "http-link": ["200", PNG],
    "base64": ["200", "base64 good"],
    "raw-bytes": ["200 image/png good"],
    "json-in-string": ["200", PNG],
    "json-and-more": ["200", PNG],
    "event-stream": ["200", PNG],
    "utf-16": ["200", PNG],
    "x-gzip": ["200", PNG],
    "false-gzip": ["200", PNG],
    "false-br": ["200", PNG],
    "unfinished": ["RemoteProtocolError"],
    "queued": ["202 QUEUED", "PROCESSING", "COMPLETED", PNG],
    "queued-0": ["202 QUEUED", "PROCESSING", "COMPLETED", PNG],
    "queued-200": ["200 QUEUED", "PROCESSING", "COMPLETED", PNG],
    "queued-failed": ["202 QUEUED", "PROCESSING", "FAILED"],
    "queued-error": ["202 QUEUED", "PROCESSING", "ERROR"],
    "queued-lost": ["202 QUEUED", "RemoteProtocolError", "502", "429", "404", "PROCESSING"],
    "queued-elsewhere": ["202 QUEUED", "elsewhere.invalid"],
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
    "image-aws-chunked": ["200", "200 image/png aws-chunked good"],
    "image-binary": ["200", "200 image/png binary good"],
    "no-such-scenario": ["400 document The prompt begins with sandbox: and a"],
    "queued-301": ["400 document The prompt begins with sandbox: and a"],
    "slow-301": ["400 document The prompt begins with sandbox: and a"],
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
    if response.headers.get("content-type", "").startswith("image/"):
        return describe_image(response)
    parts += words_of(response)
    if "retry-after" in response.headers:
        parts.append(f"Retry-After {response.headers['retry-after']}")
    return " ".join(parts)


def words_of(response: httpx.Response) -> list[str]:
    """Return the shape and the telling word of an answer; nothing for a success."""
    try:
        document = document_of(response)
    except ValueError:
        return ["text", response.text]
    match document:
        case {"status": "QUEUED"}:
            return ["QUEUED"]
        case {"output": _}:
            return []
        case {"error": {"code": str(code)}}:
            return ["nested", code]
        case {"error": text}:
            return ["document", text]
        case {"statusCode": _, "message": text}:
            return ["APIM", text]
        case {"request_id": _, "code": code}:
            return ["DashScope", code]
    return []


def document_of(response: httpx.Response) -> Any:
    """Return the JSON of an answer, whatever it is wrapped in; these are the scenarios' own."""
    body = response.content
    if body[:2] == b"\x1f\x8b":
        body = gzip.decompress(body)
    text = body.decode("utf-16" if body[:2] == b"\xff\xfe" else "utf-8")
    text = text.removeprefix("event: message\ndata: ")
    document, _ = json.JSONDecoder().raw_decode(text)
    return json.loads(document) if isinstance(document, str) else document


def image_urls(response: httpx.Response) -> list[str]:
    """Return all that may be a link of an image in an answer, wherever it stands."""
    if response.status_code >= 300 or response.headers["content-type"].startswith("image/"):
        return []
    try:
        found = list(strings(document_of(response)))
    except ValueError:
        return []
    return [text.strip() for text in found if "/images/" in text or text.startswith(INLINE)]


def strings(value: object) -> Iterator[str]:
    """Give every text in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from strings(part)


def polling_target(response: httpx.Response) -> str | None:
    """Return path and query of the polling address of an answer, if it has one."""
    if b"polling_url" not in response.content:
        return None
    url = httpx.URL(response.json()["polling_url"])
    return None if url.host == "elsewhere.invalid" else url.raw_path.decode()


def status_of(poll: httpx.Response) -> str:
    """Return what a poll says."""
    return poll.json()["status"] if poll.status_code == 200 else str(poll.status_code)


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
    coding = response.headers.get("coding")
    words = [str(response.status_code), mime_type, coding, verdict(response.content)]
    return " ".join(word for word in words if word)


def describe_inline(text: str) -> str:
    """Say in one line what a `data:` URI or bare base64 holds."""
    start, _, data = text.rpartition(";base64,")
    return f"{start or 'base64'} {verdict(base64.b64decode(data))}"


Steps = Generator[httpx.Request, httpx.Response | httpx.TransportError, list[str]]


def steps(client: httpx.Client | httpx.AsyncClient, name: str) -> Steps:
    """Ask for requests: a prompt, its polls, its links; say what came of each."""
    document = content(f"sandbox:{name} a boat")
    response = yield client.build_request("POST", PATH, json=document, headers=HEADERS)
    if isinstance(response, httpx.TransportError):
        return [type(response).__name__]
    outcomes = [describe(response)]
    if '"elsewhere.invalid' in response.text.replace("https://", ""):
        outcomes.append("elsewhere.invalid")
    target = polling_target(response)
    while target and outcomes[-1] not in {"COMPLETED", "FAILED", "ERROR"} and len(outcomes) < 6:
        poll = yield client.build_request("GET", target, headers=KEY)
        if isinstance(poll, httpx.TransportError):
            outcomes.append(type(poll).__name__)
            continue
        outcomes.append(status_of(poll))
        response = poll
    for url in image_urls(response):
        if url.startswith(INLINE):
            outcomes.append(describe_inline(url))
            continue
        fetched = yield client.build_request("GET", absolute(url, client))
        if isinstance(fetched, httpx.TransportError):
            outcomes.append(type(fetched).__name__)
        else:
            outcomes.append(describe_image(fetched))
    return outcomes


def absolute(url: str, client: httpx.Client | httpx.AsyncClient) -> str:
    """Return a link with scheme and host, those of the gateway where it has none."""
    return f"{client.base_url.scheme}:{url}" if url.startswith("//") else url


def uncoded(response: httpx.Response, body: bytes) -> httpx.Response:
    """Return an answer with its bytes as they came: some scenarios lie about their coding."""
    headers = dict(response.headers)
    coding = headers.pop("content-encoding", "")
    return httpx.Response(response.status_code, headers=headers | {"coding": coding}, content=body)


def play(client: httpx.Client, name: str) -> list[str]:
    """Play a scenario with a sync client."""
    walk, answer = steps(client, name), None
    while True:
        try:
            request = walk.send(answer)
        except StopIteration as end:
            return end.value
        try:
            sent = client.send(request, stream=True)
            answer = uncoded(sent, b"".join(sent.iter_raw()))
        except httpx.TransportError as error:
            answer = error


async def play_async(client: httpx.AsyncClient, name: str) -> list[str]:
    """Play a scenario with an async client."""
    walk, answer = steps(client, name), None
    while True:
        try:
            request = walk.send(answer)
        except StopIteration as end:
            return end.value
        try:
            sent = await client.send(request, stream=True)
            answer = uncoded(sent, b"".join([piece async for piece in sent.aiter_raw()]))
        except httpx.TransportError as error:
            answer = error


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


@pytest.mark.parametrize("name", thinned(OUTCOMES, quick=30))
def test_scenario_on_the_wire(server: SandboxServer, name: str) -> None:
    """A scenario gives a client over a real connection the outcome of the table."""
    with httpx.Client(base_url=server.base_url, timeout=TIMEOUT, trust_env=False) as client:
        assert_outcomes(play(client, name), name)


@pytest.mark.parametrize("name", ["429-once", "503-once"])
def test_once_is_once_for_each_body(transport: SandboxTransport, name: str) -> None:
    """The first POST of a body meets the failure, the next ones succeed, another body meets it."""
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


@pytest.mark.parametrize(
    "name", ["such", "quota", "out-of-credits", "balance", "402-wallet", "billing", "401", "", "🦊"]
)
def test_an_unknown_name_is_a_mistake_in_the_prompt(name: str) -> None:
    """Whatever the name says, the error is the caller's mistake: not about money, not billed."""
    client = QwenImageClient(sandbox=True)
    if name in SCENARIOS:
        name = f"{name}-such"
    with pytest.raises(InvalidRequestError) as raised:
        client.generate(f"sandbox:{name}")
    assert type(raised.value) is InvalidRequestError
    assert not raised.value.may_have_been_billed
    assert "not a scenario" in str(raised.value)


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


@pytest.mark.parametrize("shape", ["document", "images"])
def test_shape_is_a_switch(shape: Shape) -> None:
    """The gateway answers any prompt in the shape that it is told; a scenario has its own."""
    with (
        httpx.Client(transport=SandboxTransport(shape=shape), base_url=SANDBOX_BASE_URL) as client,
        SandboxServer(draw=draw_plain, shape=shape) as server,
        serve(shape=shape) as base_url,
    ):
        for url in ("", server.base_url, base_url):
            post = partial(httpx.post, trust_env=False) if url else client.post
            usual = post(url + PATH, json=content("a boat"), headers=HEADERS)
            own = post(url + PATH, json=content("sandbox:document-shape"), headers=HEADERS)
            assert ("images" in usual.json()) == (shape == "images")
            assert "images" not in own.json()


def test_images_shape_has_the_owners_fields(transport: SandboxTransport) -> None:
    """The second shape is the one of the owner's page: a file name, a type and a link."""
    with httpx.Client(transport=transport, base_url=SANDBOX_BASE_URL) as client:
        response = client.post(PATH, json=content("sandbox:images-shape"), headers=HEADERS)
    (image,) = response.json()["images"]
    url = image.pop("url")
    assert response.json().keys() == {"images", "description"}
    assert image == {"file_name": httpx.URL(url).path[-36:], "content_type": "image/png"}


def test_polls_are_counted_apart(server: SandboxServer) -> None:
    """A poll is no POST, needs the key, and the image is given out once when it is done."""
    with httpx.Client(base_url=server.base_url, timeout=TIMEOUT, trust_env=False) as client:
        before = (server.gateway.post_count, server.poll_count, len(server.images))
        response = client.post(PATH, json=content("sandbox:queued a"), headers=HEADERS)
        target = polling_target(response)
        statuses = [client.get(target, headers=KEY).json().get("status") for _ in range(3)]
        refused = client.get(target)
    after = (server.gateway.post_count, server.poll_count, len(server.images))
    assert statuses == ["PROCESSING", "COMPLETED", "COMPLETED"]
    assert refused.status_code == 401
    assert [b - a for a, b in zip(before, after, strict=True)] == [1, 4, 1]


def test_any_process_answers_a_poll(transport: SandboxTransport) -> None:
    """A gateway that has seen nothing answers the polls of a request that another queued."""
    with httpx.Client(transport=transport, base_url=SANDBOX_BASE_URL) as client:
        response = client.post(PATH, json=content("sandbox:queued a"), headers=HEADERS)
    other = SandboxTransport(Gateway(SANDBOX_BASE_URL, draw=draw_plain))
    with httpx.Client(transport=other, base_url=SANDBOX_BASE_URL) as client:
        polls = [client.get(polling_target(response), headers=KEY).json() for _ in range(2)]
    assert [poll["status"] for poll in polls] == ["PROCESSING", "COMPLETED"]
    assert polls[0]["request_id"] == polls[1]["request_id"] == response.json()["request_id"]


def test_a_queued_request_takes_its_time() -> None:
    """`queued-N` is done N seconds after its POST, however often it is asked for."""
    clock = [0.0]
    gateway = Gateway(SANDBOX_BASE_URL, draw=draw_plain, now=lambda: clock[0])
    with httpx.Client(transport=SandboxTransport(gateway), base_url=SANDBOX_BASE_URL) as client:
        response = client.post(PATH, json=content("sandbox:queued-20 a"), headers=HEADERS)
        statuses = []
        for clock[0] in (1, 19, 19.9, 20, 90):
            poll = client.get(polling_target(response), headers=KEY)
            statuses.append(poll.json()["status"])
    assert statuses == ["PROCESSING"] * 3 + ["COMPLETED"] * 2


@pytest.mark.parametrize(
    "target",
    ["qwen-image_x", "qwen-image_x?Task=e", "", "../../images/x"],
    ids=["bare", "unsigned", "empty", "elsewhere"],
)
def test_unknown_polling_address(transport: SandboxTransport, target: str) -> None:
    """An address that no sandbox gave out is a 404."""
    answer = transport.gateway.answer("GET", f"/v2/requests/status/{target}", KEY, b"")
    assert (answer.status, b"not found" in answer.body) == (404, True)


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
