"""Each fault, through tool and generator, on both twins: its class, its flags, its POSTs."""

import socket
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Call
from quick import quick
from waiting import wait_until

from langchain_qwen_image import QwenImageClient, QwenImageGenerator, QwenImageTool
from langchain_qwen_image import errors as tree
from langchain_qwen_image.errors import QwenImageError
from langchain_qwen_image.sandbox import SandboxServer

_KEY = "test-key-0123456789abcdef"

# scenario, class, may a repeat not buy a second image, may it have been billed, POSTs
_FAULTS = [
    ("400", tree.InvalidRequestError, False, False, 1),
    ("401", tree.AuthenticationError, False, False, 1),
    ("402", tree.QuotaExceededError, False, False, 1),
    ("403", tree.PermissionDeniedError, False, False, 1),
    ("quota", tree.QuotaExceededError, False, False, 1),
    ("balance", tree.QuotaExceededError, False, False, 1),
    ("arrearage", tree.QuotaExceededError, False, False, 1),
    ("free-quota", tree.QuotaExceededError, False, False, 1),
    ("404", tree.NotFoundError, False, False, 1),
    ("redirect", tree.NotFoundError, False, False, 1),
    ("429", tree.RateLimitError, True, False, 3),
    ("throttling", tree.RateLimitError, True, False, 3),
    ("500", tree.ServerError, False, True, 1),
    ("502", tree.ServerError, False, True, 1),
    ("503", tree.ServerError, False, True, 1),
    ("503-retry-after", tree.ServerError, True, False, 3),
    ("504", tree.ServerError, False, True, 1),
    ("moderation", tree.ContentRejectedError, False, False, 1),
    ("moderation-500", tree.ContentRejectedError, False, True, 1),
    ("malformed", tree.MalformedResponseError, False, True, 1),
    ("malformed-json", tree.MalformedResponseError, False, True, 1),
    ("empty", tree.MalformedResponseError, False, True, 1),
    ("no-image", tree.MalformedResponseError, False, True, 1),
    ("timeout", tree.RequestTimeoutError, False, True, 1),
    ("drop", tree.RequestTimeoutError, False, True, 1),
    ("reset", tree.RequestTimeoutError, False, True, 1),
    ("truncated", tree.RequestTimeoutError, False, True, 1),
    ("drip", tree.RequestTimeoutError, False, True, 1),
]
_faults = pytest.mark.parametrize(
    ("scenario", "kind", "retryable", "billed", "posts"),
    [pytest.param(*row, id=row[0]) for row in _FAULTS],
)


def _seconds(scenario: str) -> float:
    """Return a timeout: short where no answer will come, long where it only comes late."""
    return 0.3 if scenario in {"timeout", "drip"} else 240


@pytest.fixture(params=[QwenImageTool, QwenImageGenerator], ids=["tool", "generator"])
def face(request: pytest.FixtureRequest, server: SandboxServer) -> Callable[[str], Any]:
    """Make one of the two faces for a scenario, at a gateway on loopback; it waits for nothing."""
    return lambda scenario: quick(
        request.param(base_url=server.base_url, api_key=_KEY, timeout=_seconds(scenario))
    )


@_faults
def test_fault(
    face: Callable[[str], Any],
    server: SandboxServer,
    call: Call,
    scenario: str,
    kind: type[QwenImageError],
    retryable: bool,
    billed: bool,
    posts: int,
) -> None:
    """A fault gives its class and flags, and as many POSTs as provably bought nothing, plus one."""
    with pytest.raises(QwenImageError) as caught:
        call(face(scenario), "invoke", f"sandbox:{scenario}")
    wait_until(lambda: server.gateway.post_count)
    error = caught.value
    assert type(error) is kind
    assert (error.is_retryable, error.may_have_been_billed) == (retryable, billed)
    assert server.gateway.post_count == posts
    assert _KEY not in repr(vars(error)) + str(error)
    assert error.__cause__ is None


def test_refused_connection(call: Call) -> None:
    """Nothing listens, so nothing left: three attempts to connect, and a repeat buys nothing."""
    waits: list[float] = []

    async def note(seconds: float) -> None:
        waits.append(seconds)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    client = QwenImageClient(
        base_url=f"http://127.0.0.1:{port}", api_key=_KEY, sleep=waits.append, asleep=note
    )
    with pytest.raises(tree.ConnectionFailedError) as caught:
        call(client, "generate", "a fox")
    assert len(waits) == 2
    assert caught.value.is_retryable
    assert not caught.value.may_have_been_billed


@pytest.mark.parametrize(
    ("scenario", "raises"),
    [
        *[pytest.param(name, True, id=name) for name in ("401", "403", "402", "quota", "404")],
        *[
            pytest.param(name, False, id=name)
            for name in ("400", "moderation", "429", "500", "timeout", "drop", "malformed")
        ],
    ],
)
def test_what_a_model_reads(server: SandboxServer, call: Call, scenario: str, raises: bool) -> None:
    """What a model can fix or should know is its message; the operator's errors are raised."""
    tool = QwenImageTool(
        base_url=server.base_url, api_key=_KEY, timeout=_seconds(scenario), max_retries=0
    )
    tool_call = {
        "name": "generate_image",
        "args": {"prompt": f"sandbox:{scenario}"},
        "id": "call_1",
        "type": "tool_call",
    }
    if raises:
        with pytest.raises(QwenImageError):
            call(tool, "invoke", tool_call)
    else:
        message = call(tool, "invoke", tool_call)
        assert (message.status, message.tool_call_id) == ("error", "call_1")
        assert message.artifact is None
        assert message.content.startswith(("The gateway answered", "No complete", "The conn"))
    wait_until(lambda: server.gateway.post_count)
    assert server.gateway.post_count == 1
