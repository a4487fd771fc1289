"""A chat model that follows a script: the only stand-in in the tests of agents."""

from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolCall
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field


class ScriptedModel(BaseChatModel):
    """Plays its turns in order: messages, or functions of the conversation.

    It says "Here you are." when there are no more. The turn is told from the conversation, so a
    model of another process goes on where the first one stopped. `shown_tools` are the tools that
    it was last bound to, `read` what it was given.
    """

    turns: Sequence[Any]
    shown_tools: list[Any] = Field(default_factory=list)
    read: list[list[BaseMessage]] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> "ScriptedModel":
        self.shown_tools[:] = tools
        return self

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        self.read.append(messages)
        number = sum(isinstance(message, AIMessage) for message in messages)
        turn = self.turns[number] if number < len(self.turns) else AIMessage("Here you are.")
        answer = turn(messages) if callable(turn) else turn
        return ChatResult(generations=[ChatGeneration(message=answer.model_copy(deep=True))])


def asks_for(*prompts: str, start: int = 1, **arguments: Any) -> AIMessage:
    """Return a turn that asks for images, one call each, with ids call_1, call_2 and on."""
    return AIMessage(
        "",
        tool_calls=[
            drawing(prompt, id=f"call_{number}", **arguments)
            for number, prompt in enumerate(prompts, start)
        ],
    )


def drawing(prompt: str, *, id: str = "call_1", **arguments: Any) -> ToolCall:
    """Return a model's call of generate_image."""
    return ToolCall(
        name="generate_image", args={"prompt": prompt, **arguments}, id=id, type="tool_call"
    )


def looks(messages: list[BaseMessage]) -> AIMessage:
    """Look at the last image that a sentence names."""
    said = next(one.text for one in reversed(messages) if "(id " in one.text)
    image_id = said.partition("(id ")[2].partition(")")[0]
    call = {"name": "view_image", "args": {"image": image_id}, "id": "look", "type": "tool_call"}
    return AIMessage("", tool_calls=[call])
