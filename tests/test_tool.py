"""The tool: what a model may say, what it reads, and what becomes of errors."""

from typing import Any

import pytest
from conftest import Call
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import ToolMessage
from langchain_core.stores import InMemoryByteStore
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from langchain_qwen_image import ImageGenerationResult, QwenImageTool, errors
from langchain_qwen_image.sandbox import SandboxServer

KEY = "test-key-of-the-tool"
ALL = ["prompt", "negative_prompt", "prompt_extend", "watermark", "size"]


def tool_on(server: SandboxServer, **settings: Any) -> QwenImageTool:
    """Return a tool that talks to the server and does not repeat."""
    return QwenImageTool(
        **{"base_url": server.base_url, "api_key": KEY, "max_retries": 0, **settings}
    )


def tool_call(**arguments: Any) -> dict[str, Any]:
    """Return a call as a model makes it."""
    return {"name": "generate_image", "args": arguments, "id": "call_1", "type": "tool_call"}


def sent(server: SandboxServer) -> dict[str, Any]:
    """Return what the last POST asked for, flat."""
    body = next(one.body for one in reversed(server.requests) if one.method == "POST")
    return {"prompt": body["input"]["messages"][0]["content"][0]["text"], **body["parameters"]}


class Listener(BaseCallbackHandler):
    """Notes how runs end."""

    raise_error = True

    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_tool_end(self, output: Any, **kwargs: Any) -> None:
        self.seen.append(f"end {output.status}" if isinstance(output, ToolMessage) else "end")

    def on_tool_error(self, error: BaseException, **kwargs: Any) -> None:
        self.seen.append(f"error {type(error).__name__}")


def offered(tool: QwenImageTool) -> list[list[str]]:
    """Return the names of the arguments in the three places where a model's schema is read."""
    schema = tool.tool_call_schema
    assert isinstance(schema, type)
    function = convert_to_openai_tool(tool)["function"]
    return [list(tool.args), list(schema.model_fields), list(function["parameters"]["properties"])]


@pytest.mark.parametrize(
    ("settings", "left"),
    [
        pytest.param({}, ALL, id="nothing set"),
        pytest.param({"size": "512*512"}, ALL[:4], id="size"),
        pytest.param({"watermark": False}, [*ALL[:3], "size"], id="False counts as set"),
        pytest.param({"negative_prompt": ""}, ["prompt", *ALL[2:]], id="an empty text too"),
        pytest.param(
            {"negative_prompt": "", "prompt_extend": False, "watermark": True, "size": "512x512"},
            ["prompt"],
            id="everything",
        ),
    ],
)
def test_what_the_operator_sets_leaves_the_model_s_schema(
    settings: dict[str, Any], left: list[str]
) -> None:
    """A parameter set in the constructor is in no schema that a model is shown."""
    assert offered(QwenImageTool(sandbox=True, **settings)) == [left] * 3


def test_descriptions_and_choices_stay_in_a_smaller_schema() -> None:
    """Setting one parameter takes nothing from the others: texts, defaults, allowed values."""
    whole = convert_to_openai_tool(QwenImageTool(sandbox=True))["function"]["parameters"]
    smaller = convert_to_openai_tool(QwenImageTool(sandbox=True, watermark=True))["function"]
    del whole["properties"]["watermark"]
    assert smaller["parameters"] == whole
    sizes, null = whole["properties"]["size"]["anyOf"]
    assert sizes["enum"] == ["1328*1328", "1024*1024", "768*768", "512*512"]
    assert null == {"type": "null"}


def test_a_schema_or_description_of_one_s_own_stays() -> None:
    """What the operator gives as `args_schema` or `description` is not written over."""

    class Mine(QwenImageTool):
        """A tool of somebody's own."""

    schema = {"type": "object", "properties": {"prompt": {"type": "string"}}}
    tool = Mine(sandbox=True, args_schema=schema, description="Draws.", size="512*512")
    tool.price_usd = 1.0
    assert (tool.args_schema, tool.description) == (schema, "Draws.")
    assert tool.model_copy(update={"size": None}).description == "Draws."


def test_the_description_names_the_price() -> None:
    """A model is told what a call costs, and that the sandbox costs nothing."""
    assert "costs $0.045 " in QwenImageTool(api_key=KEY).description
    assert "costs $0.03 " in QwenImageTool(api_key=KEY, price_usd=0.03).description
    assert "costs nothing " in QwenImageTool(sandbox=True).description


@pytest.mark.parametrize(
    ("setting", "sends"),
    [
        pytest.param({"watermark": False}, {"watermark": True}, id="False"),
        pytest.param({"negative_prompt": ""}, {"negative_prompt": "blue"}, id="empty"),
        pytest.param({"size": "512*512"}, {"size": "1024*1024"}, id="size"),
        pytest.param({"size": "512*512"}, {"size": "9*9"}, id="even over nonsense"),
    ],
)
def test_the_operator_wins(
    server: SandboxServer, call: Call, setting: dict[str, Any], sends: dict[str, Any]
) -> None:
    """A set parameter goes out as it is set, whatever the model sends."""
    message = call(tool_on(server, **setting), "invoke", tool_call(prompt="a fox", **sends))
    assert message.status == "success"
    assert setting.items() <= sent(server).items()


def test_a_strict_tool_may_leave_all_parameters_open(server: SandboxServer, call: Call) -> None:
    """Strict tools must give all five: null, which the schema allows, is the default."""
    function = convert_to_openai_tool(tool_on(server), strict=True)["function"]
    assert (function["strict"], function["parameters"]["required"]) == (True, ALL)
    properties = function["parameters"]["properties"]
    assert [name for name in ALL if {"type": "null"} in properties[name].get("anyOf", [])] == ALL[
        1:
    ]
    open_ones = dict.fromkeys(ALL[1:])
    assert (
        call(tool_on(server), "invoke", tool_call(prompt="a fox", **open_ones)).status == "success"
    )
    assert sent(server) == {
        "prompt": "a fox",
        "negative_prompt": "",
        "prompt_extend": True,
        "watermark": True,
        "size": "1328*1328",
    }


@pytest.mark.parametrize("value", [None, ""])
def test_what_has_no_value_does_not_undo_a_setting(
    server: SandboxServer, call: Call, value: Any
) -> None:
    """Null or a blank text for a size or a boolean leaves it as the operator has set it."""
    tool = tool_on(server, size="512*512", watermark=False)
    call(tool, "invoke", tool_call(prompt="a fox", size=value, watermark=value))
    assert {"size": "512*512", "watermark": False}.items() <= sent(server).items()


@pytest.mark.parametrize("size", ["1024x1024", "1024X1024", "1024×1024", " 1024 * 1024 "])
def test_sizes_are_taken_as_people_write_them(server: SandboxServer, call: Call, size: str) -> None:
    """Every usual way to write a size goes out in the document's form."""
    call(tool_on(server), "invoke", tool_call(prompt="a fox", size=size))
    assert sent(server)["size"] == "1024*1024"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param({"prompt": "a fox", "n": 2}, "n is not an argument", id="n"),
        pytest.param({"prompt": "a fox", "seed": 1}, "seed is not an argument", id="seed"),
        pytest.param({"prompt": " \n"}, "prompt: it is empty", id="blank prompt"),
        pytest.param({"prompt": "\u200b\u2800"}, "no visible", id="invisible prompt"),
        pytest.param({}, "prompt is missing", id="no prompt"),
        pytest.param({"prompt": "a fox", "size": "640x480"}, "512*512", id="bad size"),
        pytest.param({"prompt": 7}, "prompt", id="prompt of another type"),
        pytest.param({"prompt": "a fox", "watermark": "perhaps"}, "watermark", id="bad boolean"),
    ],
)
def test_arguments_that_cannot_be_used_are_explained_and_not_sent(
    server: SandboxServer, call: Call, arguments: dict[str, Any], says: str
) -> None:
    """The model reads what is wrong and what is allowed; the gateway hears nothing."""
    message = call(tool_on(server), "invoke", tool_call(**arguments))
    assert message.status == "error"
    assert message.tool_call_id == "call_1"
    assert says in message.content
    assert f"Allowed arguments: {', '.join(ALL)}; sizes: 1328*1328" in message.content
    assert server.gateway.post_count == 0


def test_only_what_is_left_to_the_model_is_listed_as_allowed(server: SandboxServer) -> None:
    """A message names no argument that the operator has taken away."""
    tool = tool_on(server, size="512*512", watermark=False)
    content = tool.invoke(tool_call(prompt="a fox", n=1)).content
    assert content.endswith("Allowed arguments: prompt, negative_prompt, prompt_extend.")


def test_the_values_given_are_not_quoted_back(server: SandboxServer) -> None:
    """A long or secret value of a wrong argument is not repeated into the model's context."""
    content = (
        tool_on(server).invoke(tool_call(prompt="a fox", **{"k" * 500: "secret" * 999})).content
    )
    assert "secret" not in content
    assert len(content) < 400


MENDABLE = {
    "400": errors.InvalidRequestError,
    "moderation": errors.ContentRejectedError,
    "429": errors.RateLimitError,
    "500": errors.ServerError,
    "503-retry-after": errors.ServerError,
    "drop": errors.RequestTimeoutError,
    "malformed": errors.MalformedResponseError,
}
OPERATORS = {
    "401": errors.AuthenticationError,
    "402": errors.QuotaExceededError,
    "403": errors.PermissionDeniedError,
    "404": errors.NotFoundError,
    "quota": errors.QuotaExceededError,
}


@pytest.mark.parametrize("name", MENDABLE)
def test_a_model_reads_what_it_can_mend_or_should_know(
    server: SandboxServer, call: Call, name: str
) -> None:
    """Errors of these classes become an error message for the model; the run does not fail."""
    listener = Listener()
    message = call(
        tool_on(server), "invoke", tool_call(prompt=f"sandbox:{name}"), {"callbacks": [listener]}
    )
    assert (message.status, message.artifact) == ("error", None)
    assert message.content
    assert listener.seen == ["end error"]
    assert server.gateway.post_count == 1


@pytest.mark.parametrize(("name", "kind"), OPERATORS.items())
def test_what_only_the_operator_can_mend_is_raised(
    server: SandboxServer, call: Call, name: str, kind: type[errors.QwenImageError]
) -> None:
    """Errors of these classes are raised out of the tool, and callbacks hear of them."""
    listener = Listener()
    with pytest.raises(kind):
        call(
            tool_on(server),
            "invoke",
            tool_call(prompt=f"sandbox:{name}"),
            {"callbacks": [listener]},
        )
    assert listener.seen == [f"error {kind.__name__}"]
    assert server.gateway.post_count == 1


@pytest.mark.parametrize(("name", "kind"), (MENDABLE | OPERATORS).items())
@pytest.mark.parametrize("plain", [False, True], ids=["dict", "str"])
def test_a_program_gets_every_error_as_an_exception(
    server: SandboxServer, call: Call, name: str, kind: type[Exception], plain: bool
) -> None:
    """Called without a tool call, the tool raises all errors."""
    prompt = f"sandbox:{name}"
    with pytest.raises(kind) as caught:
        call(tool_on(server), "invoke", prompt if plain else {"prompt": prompt})
    assert type(caught.value) is kind


@pytest.mark.parametrize("name", ["500", "401"])
@pytest.mark.parametrize(
    ("setting", "content"),
    [
        pytest.param(True, None, id="True"),
        pytest.param("It failed.", "It failed.", id="a text"),
        pytest.param(lambda error: type(error).__name__, "class", id="a callable"),
    ],
)
def test_handle_tool_error_overrides_the_rule(
    server: SandboxServer, call: Call, name: str, setting: Any, content: str | None
) -> None:
    """What LangChain takes as `handle_tool_error` holds for every class, as LangChain says."""
    message = call(
        tool_on(server, handle_tool_error=setting), "invoke", tool_call(prompt=f"sandbox:{name}")
    )
    kind = (MENDABLE | OPERATORS)[name].__name__
    expected = {"class": kind, None: f"The gateway answered {name}"}.get(content, content)
    assert message.status == "error"
    assert message.content.startswith(expected)


def test_handle_tool_error_false_raises_all(server: SandboxServer, call: Call) -> None:
    """`handle_tool_error=False` raises also what a model could fix."""
    tool = tool_on(server, handle_tool_error=False)
    with pytest.raises(errors.ServerError):
        call(tool, "invoke", tool_call(prompt="sandbox:500"))
    with pytest.raises(errors.InvalidRequestError):
        call(tool, "invoke", tool_call(prompt=""))


def test_a_missing_key_is_reported_at_the_first_call(server: SandboxServer, call: Call) -> None:
    """Construction needs no key; the call says how to give one, and that one can do without."""
    tool = QwenImageTool(base_url=server.base_url)
    with pytest.raises(errors.ConfigurationError, match=r"PIXAZO_API_KEY.*api_key.*sandbox=True"):
        call(tool, "invoke", tool_call(prompt="a fox"))
    assert server.gateway.post_count == 0


def test_a_folder_that_is_a_file_is_the_operator_s_error(
    server: SandboxServer, call: Call, tmp_path: Any
) -> None:
    """A setting that cannot work is raised before anything is sent."""
    (tmp_path / "images").write_text("not a folder")
    with pytest.raises(errors.ConfigurationError):
        call(tool_on(server, save_to=tmp_path / "images"), "invoke", tool_call(prompt="a fox"))
    assert server.gateway.post_count == 0


def test_the_artifact_is_json_and_brings_the_result_back(
    server: SandboxServer, call: Call, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a message carries survives its JSON and a strict checkpoint, and becomes a result."""
    monkeypatch.setenv("LANGGRAPH_STRICT_MSGPACK", "true")
    message = call(tool_on(server, save_to=tmp_path), "invoke", tool_call(prompt="a fox"))
    serializer = JsonPlusSerializer()
    restored = serializer.loads_typed(serializer.dumps_typed(message))
    assert restored.artifact == message.artifact
    assert ToolMessage.model_validate_json(message.model_dump_json()).artifact == message.artifact
    result = ImageGenerationResult.from_artifact(message.artifact)
    assert (result.prompt, result.image.width) == ("a fox", 1328)
    assert result.to_artifact() == message.artifact


def test_an_inline_image_without_a_home_is_saved_in_a_temporary_folder(
    server: SandboxServer, call: Call
) -> None:
    """An image that came inside the answer is in no message, and yet not lost."""
    message = call(tool_on(server), "invoke", tool_call(prompt="sandbox:data-uri"))
    image = message.artifact["images"][0]
    assert "base64" not in message.model_dump_json()
    assert image["path"] in message.content
    restored = ImageGenerationResult.from_artifact(message.artifact)
    assert len(restored.image.read()) == image["size_bytes"]


def test_a_store_of_the_caller_s_is_used(server: SandboxServer, call: Call) -> None:
    """With a `ByteStore` the sentence names the key, under which the image and its record lie."""
    store = InMemoryByteStore()
    message = call(tool_on(server, save_to=store), "invoke", tool_call(prompt="a fox"))
    key = message.artifact["images"][0]["path"]
    assert f"Saved as {key} " in message.content
    assert sorted(store.yield_keys()) == sorted([key, key.removesuffix(".png") + ".json"])


def test_two_images_are_both_named(server: SandboxServer, call: Call, tmp_path: Any) -> None:
    """Each image of an answer is saved, named in the sentence, and paid for."""
    message = call(
        tool_on(server, save_to=tmp_path), "invoke", tool_call(prompt="sandbox:two-images")
    )
    paths = [image["path"] for image in message.artifact["images"]]
    assert len(set(paths)) == 2
    assert all(path in message.content for path in paths)
    assert message.content.startswith("Done: 2 images generated")
    assert "$0.09" in message.content


def test_a_plain_call_returns_the_sentence(server: SandboxServer, call: Call) -> None:
    """Without a tool call the sentence alone comes back, as LangChain does it."""
    answer = call(tool_on(server), "invoke", {"prompt": "a fox"})
    assert answer.startswith("Done: 1 image generated, 1328×1328.")


def test_with_retry_repeats_only_what_bought_nothing(server: SandboxServer, call: Call) -> None:
    """`with_retry()` on the tool leaves a 500 alone and repeats a 429."""
    tool = tool_on(server)
    eager = tool.with_retry(stop_after_attempt=3, wait_exponential_jitter=False)
    for name, posts in (("500", 1), ("429", 3)):
        before = server.gateway.post_count
        with pytest.raises(errors.QwenImageError):
            call(eager, "invoke", {"prompt": f"sandbox:{name}"})
        assert server.gateway.post_count - before == posts
