"""The page docs/agents.md runs, from its first block to its last."""

import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from scripted_model import asks_for

PAGE = (Path(__file__).parents[1] / "docs" / "agents.md").read_text(encoding="utf-8")


class Illustrator(BaseChatModel):
    """Draws what it is told to: one call for each thing between commas; looks when told to."""

    @property
    def _llm_type(self) -> str:
        return "illustrator"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._next(messages))])

    def _next(self, messages: list[BaseMessage]) -> AIMessage:
        wish = next(one for one in reversed(messages) if isinstance(one, HumanMessage)).text
        if isinstance(messages[-1], HumanMessage):
            things = wish.removeprefix("Draw ").partition(".")[0]
            return asks_for(*things.split(", "), start=len(messages))
        found = re.search(r"\(id (\w+)\)", messages[-1].text)
        if "look" in wish and found:
            call = {"name": "view_image", "args": {"image": found[1]}, "id": "look"}
            return AIMessage("", tool_calls=[call])
        return AIMessage("Here you are.")


def _as_pattern(expected: str) -> str:
    return ".*".join(re.escape(part) for part in expected.split("…"))


def test_code_prints_what_the_page_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each block of code runs in one namespace and prints what is shown below it."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"model": Illustrator()}
    printed = StringIO()
    shown = 0
    for language, text in re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        if language == "python":
            with redirect_stdout(printed):
                exec(compile(text, "docs/agents.md", "exec"), names)
        else:
            assert re.fullmatch(_as_pattern(text), printed.getvalue(), re.DOTALL)
            printed, shown = StringIO(), shown + 1
    assert printed.getvalue() == "", "every output is shown"
    assert shown == 9
