"""What a tool says of a call whose key was paid for before, was lost, or is under way."""

import contextvars
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from graphs import THREAD, RepeatedStep
from held import HeldServer
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from scripted_model import drawing
from waiting import wait_until

from langchain_qwen_image import Budget, QwenImageTool
from langchain_qwen_image.errors import AccountError

Make = Callable[..., QwenImageTool]


def test_a_replay_says_that_it_cost_nothing(make_tool: Make, held: HeldServer) -> None:
    """Sentence, artifact and events of the second run say that the first one has paid.

    It takes nothing from the budget.
    """
    budget = Budget(max_images=1)
    step = RepeatedStep(make_tool(budget=budget))
    step.fail()
    message = step.resume()
    assert message.text.count("Cost: $0 (paid for before).") == 1
    told = [message.artifact[name] for name in ("replayed", "cost_usd", "first_cost_usd")]
    assert told == [True, 0.0, 0.045]
    assert message.artifact["images"] == step.messages[0].artifact["images"]
    costs = [(one["stage"], one["cost_usd"], one["replayed"]) for one in step.events]
    assert costs == [("received", 0.0, True)]
    assert budget.spent_usd == Decimal("0.045")
    assert held.gateway.post_count == 1


@pytest.mark.parametrize(("retry_unknown", "posts"), [(False, 1), (True, 2)])
def test_a_lost_answer(retry_unknown: bool, posts: int, make_tool: Make, held: HeldServer) -> None:
    """A call whose answer was lost is not sent again, unless the tool is set so."""
    step = RepeatedStep(make_tool(retry_unknown=retry_unknown), "sandbox:drop")
    step.fail()
    message = step.resume()
    assert message.status == "error"
    assert ("Nothing was sent this time." in message.text) is not retry_unknown
    assert "may have been billed" in message.text
    assert held.gateway.post_count == posts


@pytest.mark.parametrize(("retry_lost", "posts"), [(False, 1), (True, 2)])
def test_a_lost_image(retry_lost: bool, posts: int, make_tool: Make, held: HeldServer) -> None:
    """A call whose image was saved and is gone is not sent again, unless the tool is set so."""
    step = RepeatedStep(make_tool(retry_lost=retry_lost))
    step.fail()
    Path(step.messages[0].artifact["images"][0]["path"]).unlink()
    message = step.resume()
    assert message.status == ("success" if retry_lost else "error")
    assert ("paid for before, and cannot be had any more" in message.text) is not retry_lost
    assert held.gateway.post_count == posts


def test_a_call_that_is_under_way(make_tool: Make, held: HeldServer) -> None:
    """A tool that waits no longer for an equal call says so, and sends and books nothing."""
    held.hold()
    patient, hasty = make_tool(), make_tool(timeout=0.2)
    said: list[Any] = []

    def draw(_: Any) -> None:
        here = contextvars.copy_context()
        other = threading.Thread(
            target=lambda: said.append(here.run(patient.invoke, drawing("a fox")))
        )
        other.start()
        wait_until(lambda: held.gateway.post_count)
        said.append(hasty.invoke(drawing("a fox")))
        held.release()
        other.join()

    graph = StateGraph(MessagesState)
    graph.add_node("draw", draw)
    graph.add_edge(START, "draw")
    built: Any = graph.compile(checkpointer=InMemorySaver())
    built.invoke({"messages": []}, THREAD)
    waited, paid = said
    assert (waited.status, paid.status) == ("error", "success")
    assert "still being generated" in waited.text
    assert "Do not try again" in waited.text
    assert held.gateway.post_count == 1


def test_books_that_cannot_be_written(make_tool: Make, held: HeldServer, tmp_path: Path) -> None:
    """An account that has become unusable is the operator's: the tool raises, and sends nothing."""
    tool = make_tool(account=tmp_path / "mine.db")
    tool.invoke(drawing("a fox"))
    with closing(sqlite3.connect(tmp_path / "mine.db")) as database:
        database.execute("DROP TABLE calls")
    with pytest.raises(AccountError):
        tool.invoke(drawing("a fox"))
    assert held.gateway.post_count == 1
