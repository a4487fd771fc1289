"""The generator in LangChain's own compositions; POSTs are counted at the gateway."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from conftest import Call
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import (
    ConfigurableField,
    RunnableBranch,
    RunnableConfig,
    RunnableLambda,
    RunnableParallel,
)
from scripted_model import ScriptedModel

from langchain_qwen_image import Budget, ImageGenerationResult, QwenImageGenerator
from langchain_qwen_image.errors import (
    AuthenticationError,
    BudgetExceededError,
    InvalidRequestError,
    QwenImageError,
    RequestTimeoutError,
    ServerError,
)
from langchain_qwen_image.sandbox import SandboxServer

TEMPLATE = ChatPromptTemplate.from_messages(
    [("system", "You describe images."), ("human", "A poster of {thing}")]
)


@pytest.fixture
def generator(server: SandboxServer) -> QwenImageGenerator:
    """Return a generator that asks the server."""
    return QwenImageGenerator(base_url=server.base_url, api_key="test-key", size="512*512")


def _prompts(server: SandboxServer) -> list[str]:
    return [image.prompt for image in server.images]


def _sizes(server: SandboxServer) -> list[tuple[int, int]]:
    return [(image.width, image.height) for image in server.images]


def _writer(text: str) -> ScriptedModel:
    return ScriptedModel(turns=[AIMessage(text)])


def test_template_into_generator(
    server: SandboxServer, generator: QwenImageGenerator, call: Call
) -> None:
    """The human message of a template is the prompt of one POST."""
    result = call(TEMPLATE | generator, "invoke", {"thing": "a fox"})
    assert result.prompt == "A poster of a fox"
    assert _prompts(server) == ["A poster of a fox"]
    assert server.gateway.post_count == 1


@pytest.mark.parametrize(
    "parser",
    [
        pytest.param([], id="message"),
        pytest.param([StrOutputParser()], id="string"),
        pytest.param([RunnableLambda(lambda message: [("human", message.text)])], id="messages"),
        pytest.param([RunnableLambda(lambda message: {"prompt": message.text})], id="arguments"),
    ],
)
def test_template_into_model_into_generator(
    parser: list[Any], server: SandboxServer, generator: QwenImageGenerator, call: Call
) -> None:
    """What a model writes is the prompt, in whatever form it is handed on."""
    chain = TEMPLATE | _writer("a fox, woodcut, two colours")
    for step in parser:
        chain = chain | step
    result = call(chain | generator, "invoke", {"thing": "a fox"})
    assert result.prompt == "a fox, woodcut, two colours"
    assert server.gateway.post_count == 1


def test_a_model_that_says_nothing_buys_nothing(
    server: SandboxServer, generator: QwenImageGenerator, call: Call
) -> None:
    """An empty answer of the prompt-writing model is refused before anything is sent."""
    with pytest.raises(InvalidRequestError, match="without text"):
        call(TEMPLATE | _writer("") | generator, "invoke", {"thing": "a fox"})
    assert server.gateway.post_count == 0


def test_parallel_branches_pay_once_each(
    server: SandboxServer, generator: QwenImageGenerator, call: Call
) -> None:
    """Each branch of a RunnableParallel is one POST."""
    chain = RunnableParallel(
        day=ChatPromptTemplate.from_template("{thing} by day") | generator,
        night=ChatPromptTemplate.from_template("{thing} by night") | generator,
    )
    results = call(chain, "invoke", {"thing": "a harbour"})
    assert {name: result.prompt for name, result in results.items()} == {
        "day": "a harbour by day",
        "night": "a harbour by night",
    }
    assert server.gateway.post_count == 2


class _Patient:
    """Runs a chain that fails, and what it left running."""

    def __init__(self, chain: Any) -> None:
        self._chain = chain

    def run(self) -> None:
        with pytest.raises(AuthenticationError):
            self._chain.invoke("x")

    async def arun(self) -> None:
        before = asyncio.all_tasks()
        with pytest.raises(AuthenticationError):
            await self._chain.ainvoke("x")
        await asyncio.gather(*(asyncio.all_tasks() - before), return_exceptions=True)


def test_parallel_branch_that_fails_leaves_the_other_alone(
    server: SandboxServer, tmp_path: Path, call: Call
) -> None:
    """When one branch fails, the other is paid once and its image is saved."""
    generator = QwenImageGenerator(base_url=server.base_url, api_key="k", save_to=tmp_path)
    chain = RunnableParallel(
        bad=RunnableLambda(lambda _: "sandbox:401") | generator,
        good=RunnableLambda(lambda _: "sandbox:slow-1") | generator,
    )
    call(_Patient(chain), "run")
    assert len(list(tmp_path.glob("*.png"))) == 1
    assert server.gateway.post_count == 2


@pytest.mark.parametrize(
    ("request_", "prompts"),
    [
        pytest.param("draw a fox", ["a fox"], id="drawn"),
        pytest.param("what is a fox", [], id="not drawn"),
    ],
)
def test_branch_pays_only_where_it_leads(
    request_: str,
    prompts: list[str],
    server: SandboxServer,
    generator: QwenImageGenerator,
    call: Call,
) -> None:
    """A RunnableBranch that does not lead to the generator sends nothing."""
    chain = RunnableBranch(
        (
            lambda text: text.startswith("draw "),
            RunnableLambda(lambda text: text.removeprefix("draw ")) | generator,
        ),
        RunnableLambda(lambda text: text),
    )
    call(chain, "invoke", request_)
    assert _prompts(server) == prompts
    assert server.gateway.post_count == len(prompts)


def test_fallback_is_asked_once_the_first_has_failed(
    server: SandboxServer, generator: QwenImageGenerator, call: Call
) -> None:
    """With fallbacks a failing prompt is one POST, and the other way is one more."""
    softer = RunnableLambda(lambda _: "a fox, friendly") | generator
    chain = generator.with_fallbacks([softer], exceptions_to_handle=(QwenImageError,))
    result = call(chain, "invoke", "sandbox:moderation")
    assert result.prompt == "a fox, friendly"
    assert server.gateway.post_count == 2


def test_fallback_is_not_asked_after_a_success(
    server: SandboxServer, generator: QwenImageGenerator, call: Call
) -> None:
    """With fallbacks a success is one POST."""
    call(generator.with_fallbacks([generator]), "invoke", "a fox")
    assert server.gateway.post_count == 1


@pytest.mark.parametrize(
    ("scenarios", "posts", "error"),
    [
        pytest.param(["401"], 1, AuthenticationError, id="operator's"),
        pytest.param(["500"], 1, ServerError, id="perhaps billed"),
        pytest.param(["drop"], 1, RequestTimeoutError, id="no answer"),
        pytest.param(["429", "ok"], 2, None, id="bought nothing"),
    ],
)
def test_with_retry_repeats_only_what_bought_nothing(
    scenarios: list[str],
    posts: int,
    error: type[QwenImageError] | None,
    server: SandboxServer,
    call: Call,
) -> None:
    """`with_retry()` never sends a second POST for an image that may be paid for."""
    generator = QwenImageGenerator(base_url=server.base_url, api_key="k", max_retries=0)
    server.script(*scenarios)
    chain = TEMPLATE | generator.with_retry(
        stop_after_attempt=3, exponential_jitter_params={"initial": 0.01, "max": 0.02}
    )
    if error is None:
        call(chain, "invoke", {"thing": "a fox"})
    else:
        with pytest.raises(QwenImageError) as caught:
            call(chain, "invoke", {"thing": "a fox"})
        assert caught.value.is_retryable is False
    assert server.gateway.post_count == posts


def _most_at_once(prompts: list[str], config: RunnableConfig, server_url: str, call: Call) -> int:
    """Return how many calls ran at the same time, as their runs' callbacks saw it."""
    running: set[Any] = set()
    most = 0

    def start(run: Any) -> None:
        nonlocal most
        running.add(run.id)
        most = max(most, len(running))

    generator = QwenImageGenerator(base_url=server_url, api_key="k")
    watched = generator.with_listeners(on_start=start, on_end=lambda run: running.discard(run.id))
    call(watched.with_config(config), "batch", prompts)
    return most


def test_max_concurrency_holds(server: SandboxServer, call: Call) -> None:
    """`with_config(max_concurrency=2)` lets two calls run at a time, each one POST."""
    prompts = [f"a fox, number {number}" for number in range(6)]
    assert _most_at_once(prompts, {"max_concurrency": 2}, server.base_url, call) <= 2
    assert sorted(_prompts(server)) == prompts
    assert server.gateway.post_count == 6


def test_batch_gives_errors_in_their_place(
    server: SandboxServer, generator: QwenImageGenerator, call: Call
) -> None:
    """`return_exceptions=True` leaves the siblings alone: one POST for each prompt."""
    prompts = ["one", "sandbox:moderation", "three"]
    one, two, three = call(generator, "batch", prompts, return_exceptions=True)
    assert (one.prompt, three.prompt) == ("one", "three")
    assert isinstance(two, QwenImageError)
    assert server.gateway.post_count == 3


def test_batch_as_completed_gives_each_once(
    server: SandboxServer, generator: QwenImageGenerator
) -> None:
    """`batch_as_completed` gives each result with its number, and an error in its place."""
    prompts = ["sandbox:moderation", "two", "three"]
    given = dict(generator.batch_as_completed(prompts, return_exceptions=True))
    assert isinstance(given.pop(0), QwenImageError)
    assert {number: result.prompt for number, result in given.items()} == {1: "two", 2: "three"}
    assert server.gateway.post_count == 3


async def test_abatch_as_completed_gives_each_once(
    server: SandboxServer, generator: QwenImageGenerator
) -> None:
    """`abatch_as_completed` gives each result with its number, one POST each."""
    prompts = ["sandbox:slow-1", "two", "three"]
    given = [
        (number, result.prompt) async for number, result in generator.abatch_as_completed(prompts)
    ]
    assert sorted(given) == list(enumerate(prompts))
    assert given[-1] == (0, "sandbox:slow-1"), "the slow one comes last"
    assert server.gateway.post_count == 3


def test_configurable_field_changes_one_call(
    server: SandboxServer, generator: QwenImageGenerator, call: Call
) -> None:
    """A configured size holds for its call alone, also as `1024x1024`, and shares the budget."""
    generator.budget = Budget(max_images=2)
    chain = TEMPLATE | generator.configurable_fields(size=ConfigurableField(id="size"))
    call(chain, "invoke", {"thing": "a"}, {"configurable": {"size": "1024x1024"}})
    call(chain, "invoke", {"thing": "b"})
    assert _sizes(server) == [(1024, 1024), (512, 512)]
    with pytest.raises(BudgetExceededError):
        call(chain, "invoke", {"thing": "c"}, {"configurable": {"size": "768*768"}})
    assert server.gateway.post_count == 2


def test_bound_parameters_win(
    server: SandboxServer, generator: QwenImageGenerator, call: Call
) -> None:
    """Parameters that are bound in a chain win over the generator's defaults."""
    call(TEMPLATE | generator.bind(size="768*768"), "invoke", {"thing": "a fox"})
    assert _sizes(server) == [(768, 768)]
    assert server.gateway.post_count == 1


def test_with_parameters_is_a_copy_with_other_defaults(
    server: SandboxServer, generator: QwenImageGenerator, call: Call
) -> None:
    """`with_parameters` changes the copy, and leaves the original as it was."""
    large = generator.with_parameters(size="1024x1024", watermark=False)
    call(large, "invoke", "a fox")
    call(generator, "invoke", "a fox")
    assert [(image.width, image.watermark) for image in server.images] == [
        (1024, False),
        (512, True),
    ]
    assert server.gateway.post_count == 2


def test_with_parameters_shares_key_budget_and_pipeline(server: SandboxServer, call: Call) -> None:
    """A copy uses the same key, the same connections, and the same budget."""
    generator = QwenImageGenerator(
        base_url=server.base_url, api_key="key-of-the-original", budget=Budget(max_images=1)
    )
    copy = generator.with_parameters(watermark=False)
    assert copy.pipeline is generator.pipeline
    assert copy.api_key is generator.api_key
    call(copy, "invoke", "a fox")
    with pytest.raises(BudgetExceededError):
        call(generator, "invoke", "a fox")
    assert server.gateway.post_count == 1


@pytest.mark.parametrize(
    "parameters",
    [
        pytest.param({"size": "640*480"}, id="size"),
        pytest.param({"sise": "512*512"}, id="misspelt"),
        pytest.param({"prompt": "a fox"}, id="prompt"),
        pytest.param({"save_to": "images"}, id="setting"),
        pytest.param({"watermark": "perhaps"}, id="type"),
    ],
)
def test_with_parameters_refuses_what_is_none(
    parameters: dict[str, Any], generator: QwenImageGenerator
) -> None:
    """What is not a parameter, or cannot be used, is refused, with the names of those that are."""
    with pytest.raises(InvalidRequestError, match="negative_prompt, prompt_extend"):
        generator.with_parameters(**parameters)


def test_result_goes_on_to_a_model_that_sees(
    server: SandboxServer, generator: QwenImageGenerator, call: Call
) -> None:
    """`to_message` hands the image on to the next model of a chain: one POST, one GET."""
    critic = _writer("The fox is too small.")
    chain = generator | (lambda result: [result.to_message(role="human")]) | critic
    assert call(chain, "invoke", "a fox").text == "The fox is too small."
    (message,) = critic.read[0]
    assert [block["type"] for block in message.content_blocks] == ["text", "image"]
    assert [request.method for request in server.requests] == ["POST", "GET"]


def test_result_validates_back_from_its_json(
    server: SandboxServer, generator: QwenImageGenerator, call: Call
) -> None:
    """A result that is not saved comes back equal from its own JSON."""
    result = call(generator, "invoke", "a fox")
    assert ImageGenerationResult.model_validate_json(result.model_dump_json()) == result


def test_saved_result_validates_back_without_its_links_signature(
    server: SandboxServer, tmp_path: Path, call: Call
) -> None:
    """A saved result comes back equal, and can be read, though its JSON holds no signature."""
    generator = QwenImageGenerator(base_url=server.base_url, api_key="k", save_to=tmp_path)
    result = call(generator, "invoke", "a fox")
    restored = ImageGenerationResult.model_validate_json(result.model_dump_json())
    assert restored == result
    assert "Signature" not in result.model_dump_json()
    assert restored.image.read() == Path(str(result.image.path)).read_bytes()


async def test_chains_run_side_by_side_in_one_loop(
    server: SandboxServer, generator: QwenImageGenerator
) -> None:
    """Ten chains at once in one event loop are ten POSTs."""
    chain = TEMPLATE | generator
    results = await asyncio.gather(*(chain.ainvoke({"thing": str(n)}) for n in range(10)))
    assert [result.prompt for result in results] == [f"A poster of {n}" for n in range(10)]
    assert server.gateway.post_count == 10
