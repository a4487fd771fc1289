"""What is sent: the POST, exactly as the API document has it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic_core import to_json

from langchain_qwen_image._version import __version__
from langchain_qwen_image.gateway_schemas import TextToImageRequest
from langchain_qwen_image.schemas import MODEL, NEGATIVE_PROMPT_LIMIT, PROMPT_LIMIT, QwenImageInput

ENDPOINT = "/qwen-image/v1/generateMultimodeTextToImageRequest"
KEY_HEADER = "Ocp-Apim-Subscription-Key"
USER_AGENT = f"langchain-qwen-image/{__version__}"

# The first of a process imports modules under a lock of Rust. A child forked meanwhile would wait
# for that lock for ever; forks wait for imports, so it is done within one (concurrency/forks.py).
to_json(None)


@dataclass(frozen=True, slots=True)
class WireRequest:
    """One request, ready to be sent; its repr does not show the key."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes
    prompt: str = field(default="", repr=False)
    """What an answer may echo, so that its words are taken for no verdict."""
    operation: str = "generate"
    """What is asked of the model."""
    model: str = MODEL
    """The model that is asked."""

    @property
    def key(self) -> str:
        """The key that it carries, to be hidden where a server echoes it."""
        return self.headers[KEY_HEADER]


def build_request(base_url: str, api_key: str, arguments: QwenImageInput) -> WireRequest:
    """Build the POST exactly as the document has it."""
    return WireRequest(
        url=base_url + ENDPOINT,
        headers={
            "Content-Type": "application/json",
            "Cache-Control": "no-cache",
            KEY_HEADER: api_key,
            "User-Agent": USER_AGENT,
            "Accept-Encoding": "gzip, deflate",  # what is decoded here, with bounds
        },
        body=TextToImageRequest.from_input(arguments).model_dump_json().encode(),
        prompt=arguments.prompt,
    )


def build_poll(base_url: str, api_key: str, polling_path: str) -> WireRequest:
    """Build the GET that asks the configured gateway, and no other, for a queued answer."""
    return WireRequest(
        url=base_url + polling_path,
        headers={"Cache-Control": "no-cache", KEY_HEADER: api_key, "User-Agent": USER_AGENT},
        body=b"",
    )


def cut_off_warnings(arguments: QwenImageInput) -> list[str]:
    """Return what upstream will cut off silently, a sentence each."""
    return [
        f"The {name} has {len(text)} characters; the model reads only the first {limit}. All of "
        "it is sent."
        for name, text, limit in (
            ("prompt", arguments.prompt, PROMPT_LIMIT),
            ("negative prompt", arguments.negative_prompt, NEGATIVE_PROMPT_LIMIT),
        )
        if len(text) > limit
    ]
