"""The runnable: what it takes, what it gives, and how LangChain's parts work with it."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from conftest import Call
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompt_values import ChatPromptValue, ImagePromptValue, StringPromptValue
from langchain_core.prompts import ChatPromptTemplate, PromptTemplate
from langchain_core.runnables import RunnableLambda
from langchain_core.tracers.run_collector import RunCollectorCallbackHandler
from waiting import wait_until

from langchain_qwen_image import (
    ImageGenerationResult,
    QwenImageGenerator,
    QwenImageInput,
    errors,
)
from langchain_qwen_image.sandbox import SandboxServer

PICTURE_ONLY = [{"type": "image", "url": "https://images.example/a.png"}]
TEXT_AND_PICTURE = [{"type": "text", "text": "a fox"}, *PICTURE_ONLY]


def generator_on(server: SandboxServer, **settings: Any) -> QwenImageGenerator:
    """Return a generator that talks to the server and does not repeat."""
    return QwenImageGenerator(
        **{
            "base_url": server.base_url,
            "api_key": "test-key-of-the-generator",
            "max_retries": 0,
            **settings,
        }
    )


def asked(server: SandboxServer) -> list[tuple[str, str]]:
    """Return prompt and size of every POST."""
    bodies = [one.body for one in server.requests if one.method == "POST"]
    return [
        (body["input"]["messages"][0]["content"][0]["text"], body["parameters"]["size"])
        for body in bodies
    ]


@pytest.mark.parametrize(
    "given",
    [
        pytest.param("a fox", id="str"),
        pytest.param(StringPromptValue(text="a fox"), id="string prompt value"),
        pytest.param(
            ChatPromptValue(messages=[SystemMessage("Be bold."), HumanMessage("a fox")]),
            id="chat prompt value",
        ),
        pytest.param(HumanMessage("a fox"), id="human message"),
        pytest.param(AIMessage("a fox"), id="a model's message"),
        pytest.param(HumanMessage(TEXT_AND_PICTURE), id="message with text and image"),
        pytest.param(
            [HumanMessage("a cat"), AIMessage("Done."), HumanMessage("a fox"), AIMessage("Well?")],
            id="the last human of many",
        ),
        pytest.param([("system", "Be bold."), ("human", "a fox")], id="pairs"),
        pytest.param([{"role": "user", "content": "a fox"}], id="dicts of messages"),
        pytest.param({"prompt": "a fox"}, id="dict"),
        pytest.param(QwenImageInput(prompt="a fox"), id="checked arguments"),
    ],
)
def test_every_kind_of_prompt_is_taken(server: SandboxServer, call: Call, given: Any) -> None:
    """Each input of the design sends its text, and gives a result."""
    result = call(generator_on(server), "invoke", given)
    assert isinstance(result, ImageGenerationResult)
    assert result.prompt == "a fox"
    assert asked(server) == [("a fox", "1328*1328")]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        pytest.param("", "prompt: it is empty", id="empty"),
        pytest.param("\u200b", "no visible character", id="zero-width space"),
        pytest.param({"prompt": "\ufeff \u2060"}, "no visible character", id="byte order mark"),
        pytest.param([], "human message", id="no message"),
        pytest.param([SystemMessage("Be bold."), AIMessage("a fox")], "human", id="no human one"),
        pytest.param(HumanMessage(PICTURE_ONLY), "without text", id="only an image"),
        pytest.param([HumanMessage(PICTURE_ONLY)], "without text", id="only an image, in a list"),
        pytest.param(HumanMessage(" \n"), "without text", id="blank message"),
        pytest.param(HumanMessage("\u3164\u200d"), "without text", id="invisible message"),
        pytest.param(AIMessage(""), "without text", id="a model that said nothing"),
        pytest.param(
            ImagePromptValue(image_url={"url": "https://images.example/a.png"}),
            "without text",
            id="image prompt value",
        ),
        pytest.param([object()], "something else in it", id="no messages at all"),
        pytest.param([{"no": "message"}], "something else in it", id="a strange dict"),
        pytest.param({}, "prompt is missing", id="empty dict"),
        pytest.param({"prompt": "a fox", "n": 2}, "n is not an argument", id="unknown argument"),
        pytest.param({"prompt": "a fox", "size": "1*1"}, "sizes: ", id="bad size"),
        pytest.param({1: "a fox"}, "keys should be strings", id="a dict of something"),
        pytest.param(None, "NoneType", id="None"),
        pytest.param(7, "int", id="number"),
        pytest.param(b"a fox", "bytes", id="bytes"),
    ],
)
def test_input_without_usable_text_is_a_clear_error(
    server: SandboxServer, call: Call, given: Any, says: str
) -> None:
    """What cannot be a prompt is refused in words, and nothing is sent."""
    with pytest.raises(errors.InvalidRequestError, match=says) as caught:
        call(generator_on(server), "invoke", given)
    assert "othing was sent" in str(caught.value)
    assert server.gateway.post_count == 0


def test_parameters_win_in_the_order_of_their_nearness(server: SandboxServer, call: Call) -> None:
    """A keyword of the call wins over the input, and the input over the generator's default."""
    generator = generator_on(server, size="512*512", negative_prompt="blur", watermark=False)
    call(generator, "invoke", "a fox")
    call(generator, "invoke", {"prompt": "a fox", "size": "768*768"})
    result = call(generator, "invoke", {"prompt": "a fox", "size": "768*768"}, size="1024x1024")
    assert [size for _, size in asked(server)] == ["512*512", "768*768", "1024*1024"]
    assert result.parameters.model_dump() == {
        "negative_prompt": "blur",
        "prompt_extend": True,
        "watermark": False,
        "size": "1024*1024",
    }


@pytest.mark.parametrize("value", [None, ""])
def test_what_has_no_value_leaves_the_default(
    server: SandboxServer, call: Call, value: Any
) -> None:
    """Null or a blank text for a size, in the input or beside it, is not given."""
    generator = generator_on(server, size="512*512")
    call(generator, "invoke", {"prompt": "a fox", "size": value, "negative_prompt": None})
    call(generator, "invoke", {"prompt": "a fox", "size": "768*768"}, size=value)
    call(generator.with_parameters(size=value), "invoke", "a fox")
    assert [size for _, size in asked(server)] == ["512*512", "768*768", "512*512"]


def test_checked_arguments_stand_as_they_are(server: SandboxServer, call: Call) -> None:
    """A `QwenImageInput` is complete: the generator's defaults do not change it."""
    call(generator_on(server, size="512*512"), "invoke", QwenImageInput(prompt="a fox"))
    assert asked(server) == [("a fox", "1328*1328")]


def test_bound_parameters_go_with_every_call(server: SandboxServer, call: Call) -> None:
    """`bind(size=…)` gives a runnable with that parameter."""
    call(generator_on(server).bind(size="768*768"), "invoke", "a fox")
    assert asked(server) == [("a fox", "768*768")]


def test_an_unknown_keyword_is_refused(server: SandboxServer, call: Call) -> None:
    """A misspelt parameter of a call is an error and not ignored."""
    with pytest.raises(errors.InvalidRequestError, match="sise is not an argument"):
        call(generator_on(server), "invoke", "a fox", sise="512*512")
    assert server.gateway.post_count == 0


def test_a_batch_keeps_its_order_and_returns_its_errors(server: SandboxServer, call: Call) -> None:
    """`batch(return_exceptions=True)` gives each outcome in its place; each was sent once."""
    prompts = ["a fox", "sandbox:500", "a crow", "sandbox:401"]
    outcomes = call(generator_on(server), "batch", prompts, return_exceptions=True)
    assert [getattr(one, "prompt", type(one)) for one in outcomes] == [
        "a fox",
        errors.ServerError,
        "a crow",
        errors.AuthenticationError,
    ]
    assert server.gateway.post_count == len(prompts)


def test_a_stream_yields_the_one_result(server: SandboxServer) -> None:
    """`stream` gives one chunk, and sends once."""
    chunks = list(generator_on(server).stream("a fox"))
    assert [one.prompt for one in chunks] == ["a fox"]
    assert server.gateway.post_count == 1


async def test_an_async_stream_yields_the_one_result(server: SandboxServer) -> None:
    """`astream` does the same."""
    generator = generator_on(server)
    assert [one.prompt async for one in generator.astream("a fox")] == ["a fox"]
    assert server.gateway.post_count == 1
    await generator.aclose()


CHAINS: dict[str, tuple[Callable[[QwenImageGenerator], Any], Any]] = {
    "template": (
        lambda generator: PromptTemplate.from_template("a {animal}") | generator,
        {"animal": "fox"},
    ),
    "chat template": (
        lambda generator: (
            ChatPromptTemplate.from_messages([("system", "Be bold."), ("human", "a {animal}")])
            | generator
        ),
        {"animal": "fox"},
    ),
    "parsed text of a model": (
        lambda generator: (
            RunnableLambda(lambda _: AIMessage("a fox")) | StrOutputParser() | generator
        ),
        "",
    ),
    "message of a model": (
        lambda generator: RunnableLambda(lambda _: AIMessage("a fox")) | generator,
        "",
    ),
    "and on to the next": (
        lambda generator: generator | RunnableLambda(lambda result: result),
        "a fox",
    ),
}


@pytest.mark.parametrize(("chain", "given"), CHAINS.values(), ids=CHAINS)
def test_it_composes(
    server: SandboxServer, call: Call, chain: Callable[[QwenImageGenerator], Any], given: Any
) -> None:
    """In a chain it takes what the step before gives, and sends once."""
    assert call(chain(generator_on(server)), "invoke", given).prompt == "a fox"
    assert server.gateway.post_count == 1


def test_a_call_is_a_run_of_type_tool(server: SandboxServer, call: Call) -> None:
    """Tracers see one run of type tool, with the caller's config and our identity in it."""
    collector = RunCollectorCallbackHandler()
    config = {
        "callbacks": [collector],
        "metadata": {"user": "u1"},
        "tags": ["poster"],
        "run_name": "draw",
    }
    call(generator_on(server), "invoke", "a fox", config)
    (run,) = collector.traced_runs
    assert (run.run_type, run.name, run.tags) == ("tool", "draw", ["poster"])
    metadata = run.extra["metadata"]
    assert metadata["ls_provider"] == "pixazo"
    assert metadata["ls_model_name"] == "qwen-image"
    assert metadata["user"] == "u1"
    assert config["metadata"] == {"user": "u1"}


def test_a_failed_call_is_a_failed_run(server: SandboxServer, call: Call) -> None:
    """Tracers see the error, and that no output came."""
    collector = RunCollectorCallbackHandler()
    with pytest.raises(errors.ServerError):
        call(generator_on(server), "invoke", "sandbox:500", {"callbacks": [collector]})
    (run,) = collector.traced_runs
    assert "ServerError" in run.error
    assert not run.outputs


@pytest.mark.parametrize(
    ("name", "posts"),
    [
        pytest.param("500", 1, id="500"),
        pytest.param("502", 1, id="502"),
        pytest.param("503", 1, id="503"),
        pytest.param("504", 1, id="504"),
        pytest.param("drop", 1, id="connection dropped"),
        pytest.param("truncated", 1, id="answer cut short"),
        pytest.param("malformed", 1, id="malformed"),
        pytest.param("moderation", 1, id="moderation"),
        pytest.param("401", 1, id="401"),
        pytest.param("quota", 1, id="quota"),
        pytest.param("429", 3, id="429"),
        pytest.param("503-retry-after", 3, id="503 with Retry-After"),
    ],
)
def test_with_retry_repeats_only_what_bought_nothing(
    server: SandboxServer, call: Call, name: str, posts: int
) -> None:
    """`with_retry()` asks `is_retryable`, and not LangChain's "every exception"."""
    eager = generator_on(server).with_retry(stop_after_attempt=3, wait_exponential_jitter=False)
    with pytest.raises(errors.QwenImageError):
        call(eager, "invoke", f"sandbox:{name}")
    assert server.gateway.post_count == posts


def test_with_retry_does_not_repeat_a_timeout(server: SandboxServer, call: Call) -> None:
    """A call without an answer may be paid for, so it is made once."""
    eager = generator_on(server, timeout=0.2).with_retry(wait_exponential_jitter=False)
    with pytest.raises(errors.RequestTimeoutError):
        call(eager, "invoke", "sandbox:timeout")
    wait_until(lambda: server.gateway.post_count)
    assert server.gateway.post_count == 1


def test_with_retry_still_takes_a_tuple_of_classes(server: SandboxServer, call: Call) -> None:
    """Who names classes gets just these repeated, also at the price of a second image."""
    eager = generator_on(server).with_retry(
        retry_if_exception_type=(errors.ServerError,),
        stop_after_attempt=2,
        wait_exponential_jitter=False,
    )
    with pytest.raises(errors.ServerError):
        call(eager, "invoke", "sandbox:500")
    assert server.gateway.post_count == 2
    with pytest.raises(errors.RateLimitError):
        call(eager, "invoke", "sandbox:429")
    assert server.gateway.post_count == 3


def test_with_retry_in_a_batch_repeats_only_what_failed(server: SandboxServer, call: Call) -> None:
    """In a batch only the calls that bought nothing are made again."""
    eager = generator_on(server).with_retry(stop_after_attempt=2, wait_exponential_jitter=False)
    prompts: Sequence[str] = ["a fox", "sandbox:429-once", "sandbox:500"]
    outcomes = call(eager, "batch", prompts, return_exceptions=True)
    assert [type(one) for one in outcomes] == [
        ImageGenerationResult,
        ImageGenerationResult,
        errors.ServerError,
    ]
    assert sorted(prompt for prompt, _ in asked(server)) == sorted([*prompts, prompts[1]])
