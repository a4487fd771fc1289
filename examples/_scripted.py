"""What the examples share: options, a chat model, real or scripted, and where the images are."""

import argparse
import re
from collections.abc import Callable, Sequence
from typing import Any

from langchain.chat_models import init_chat_model
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult

Turn = Callable[[list[BaseMessage]], AIMessage]


class ScriptedModel(BaseChatModel):
    """Follows its turns in order, and then from the first one again; needs no key."""

    turns: Sequence[Turn]

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **kwargs: Any) -> "ScriptedModel":
        """Ignore the tools: the script knows them."""
        return self

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        done = sum(isinstance(message, AIMessage) for message in messages)
        return ChatResult(
            generations=[ChatGeneration(message=self.turns[done % len(self.turns)](messages))]
        )


def make_parser(description: str) -> argparse.ArgumentParser:
    """Return a parser with the options of all agents' examples."""
    parser = argparse.ArgumentParser(description=description.partition("\n")[0])
    parser.add_argument("--live", action="store_true", help="pay for real images")
    parser.add_argument("--model", metavar="PROVIDER:NAME", help="use a real chat model")
    return parser


def open_model(name: str | None, *turns: Turn) -> BaseChatModel:
    """Return the model `provider:name`, or one that follows these turns."""
    return init_chat_model(name) if name else ScriptedModel(turns=turns)


def draws(prompt: str) -> Turn:
    """Return a turn that asks for an image."""
    return lambda messages: _calls("generate_image", {"prompt": prompt}, f"call_{len(messages)}")


def looks(messages: list[BaseMessage]) -> AIMessage:
    """Look at the image whose id the last message names."""
    image_id = messages[-1].text.partition("(id ")[2].partition(")")[0]
    return _calls("view_image", {"image": image_id}, f"call_{len(messages)}")


def passes_on(messages: list[BaseMessage]) -> AIMessage:
    """Draw what the user writes; then say what the tool has said to the user."""
    last = messages[-1]
    if not isinstance(last, ToolMessage):
        return _calls("generate_image", {"prompt": last.text}, f"call_{len(messages)}")
    markdown = re.search(r"!\[.*?\]\(.*?\)", last.text)
    done = markdown[0] if markdown else "Here it is."
    return AIMessage(done if last.status == "success" else "There is no image.")


def says(text: str) -> Turn:
    """Return a turn that says something."""
    return lambda messages: AIMessage(text)


def print_saved(messages: list[BaseMessage]) -> None:
    """Print the path of each image that the conversation's tool calls have saved."""
    for message in messages:
        artifact = message.artifact if isinstance(message, ToolMessage) else None
        for image in (artifact or {}).get("images", []):
            print("Open", image["path"])


def _calls(tool: str, arguments: dict[str, Any], call_id: str) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": tool, "args": arguments, "id": call_id}])
