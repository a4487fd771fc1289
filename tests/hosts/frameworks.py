"""Agent frameworks of others, each with a model that follows a script, and how they take a tool."""

import json
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest
from langchain_core.tools import BaseTool


class Told(NamedTuple):
    """What a run made of a tool call.

    Attributes:
        schema: The tool's parameters, as the model is shown them.
        read: What the model reads of the call; empty where the run failed.
        is_error: Whether it is told as an error.
        raised: What ended the run.
    """

    schema: dict[str, Any]
    read: str
    is_error: bool = False
    raised: Exception | None = None


async def google_adk(tool: BaseTool, arguments: dict[str, Any], **options: Any) -> Told:
    """Let an agent of Google's ADK make one call; `options` are the agent's."""
    pytest.importorskip("google.adk")
    from google.adk.agents import LlmAgent
    from google.adk.agents.run_config import RunConfig, ToolThreadPoolConfig
    from google.adk.integrations.langchain import LangchainTool
    from google.adk.models import BaseLlm, LlmRequest, LlmResponse
    from google.adk.runners import InMemoryRunner
    from google.genai.types import Content, FunctionCall, Part

    requests: list[LlmRequest] = []

    class Scripted(BaseLlm):
        async def generate_content_async(
            self, llm_request: LlmRequest, stream: bool = False
        ) -> AsyncIterator[LlmResponse]:
            requests.append(llm_request)
            asked = Part(function_call=FunctionCall(name=tool.name, args=arguments))
            part = Part(text="Here you are.") if len(requests) > 1 else asked
            yield LlmResponse(content=Content(role="model", parts=[part]))

    agent = LlmAgent(
        name="painter", model=Scripted(model="scripted"), tools=[LangchainTool(tool)], **options
    )
    runner = InMemoryRunner(agent=agent, app_name="tests")
    session = await runner.session_service.create_session(app_name="tests", user_id="one")
    raised = None
    try:
        async for _ in runner.run_async(
            user_id="one",
            session_id=session.id,
            new_message=Content(role="user", parts=[Part(text="Draw.")]),
            run_config=RunConfig(tool_thread_pool_config=ToolThreadPoolConfig()),
        ):
            pass
    except Exception as error:
        raised = error
    declared = requests[0].config.tools[0].function_declarations[0]
    schema = declared.parameters.model_dump(mode="json", exclude_none=True)
    if raised:
        return Told(schema, "", raised=raised)
    response = requests[1].contents[-1].parts[0].function_response.response
    json.dumps(response)
    if "error" in response:
        return Told(schema, response["error"], is_error=True)
    sentence, artifact = response["result"]
    assert artifact["images"]
    return Told(schema, sentence)


async def autogen(tool: BaseTool, arguments: dict[str, Any]) -> Told:
    """Let an assistant of AutoGen make one call."""
    pytest.importorskip("autogen_agentchat")
    from autogen_agentchat.agents import AssistantAgent
    from autogen_agentchat.messages import ToolCallExecutionEvent
    from autogen_core import FunctionCall
    from autogen_core.models import CreateResult, ModelFamily, ModelInfo, RequestUsage
    from autogen_ext.models.replay import ReplayChatCompletionClient
    from autogen_ext.tools.langchain import LangChainToolAdapter

    asked = FunctionCall(id="call_1", name=tool.name, arguments=json.dumps(arguments))
    usage = RequestUsage(prompt_tokens=0, completion_tokens=0)
    model = ReplayChatCompletionClient(
        [CreateResult(finish_reason="function_calls", content=[asked], usage=usage, cached=False)],
        model_info=ModelInfo(
            vision=False,
            function_calling=True,
            json_output=False,
            structured_output=False,
            family=ModelFamily.UNKNOWN,
        ),
    )
    adapter = LangChainToolAdapter(tool)
    done = await AssistantAgent("painter", model_client=model, tools=[adapter]).run(task="Draw.")
    event = next(one for one in done.messages if isinstance(one, ToolCallExecutionEvent))
    (result,) = event.content
    return Told(dict(adapter.schema["parameters"]), result.content, bool(result.is_error))
