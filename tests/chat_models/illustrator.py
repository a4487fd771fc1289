"""A chat model that does what it is asked to, in place of the paid ones that pages name."""

import re
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolCall
from langchain_core.outputs import ChatGeneration, ChatResult


class Illustrator(BaseChatModel):
    """Asks for an image of each thing between commas, looks when told to, or writes a prompt."""

    has_tools: bool = False

    @property
    def _llm_type(self) -> str:
        return "illustrator"

    def bind_tools(self, tools: Any, **kwargs: Any) -> "Illustrator":
        return self.model_copy(update={"has_tools": bool(tools)})

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        answer = self._next(messages) if self.has_tools else AIMessage("A fox in the snow")
        return ChatResult(generations=[ChatGeneration(message=answer)])

    def _next(self, messages: list[BaseMessage]) -> AIMessage:
        wish = next(one for one in reversed(messages) if isinstance(one, HumanMessage)).text
        if isinstance(messages[-1], HumanMessage) and isinstance(messages[-1].content, list):
            return AIMessage("Here you are.")  # it has seen the image
        if isinstance(messages[-1], HumanMessage):
            things = wish.removeprefix("Draw ").partition(".")[0].split(", ")
            return AIMessage(
                "",
                tool_calls=[
                    _calls("generate_image", {"prompt": thing}, f"call_{number}")
                    for number, thing in enumerate(things, len(messages))
                ],
            )
        found = re.search(r"\(id (\w+)\)", messages[-1].text)
        if "look" in wish and found:
            return AIMessage("", tool_calls=[_calls("view_image", {"image": found[1]}, "look")])
        return AIMessage("Here you are.")


def _calls(tool: str, arguments: dict[str, str], call_id: str) -> ToolCall:
    return ToolCall(name=tool, args=arguments, id=call_id, type="tool_call")
