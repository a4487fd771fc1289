"""List the scenarios whose POST gets an answer that says nothing, or no whole answer at all."""

from langchain_qwen_image.sandbox.answer import Answer, Fault, json_answer, text_answer
from langchain_qwen_image.sandbox.failures import (
    REQUEST_ID,
    dashscope_failure,
    page_failure,
    proxy_failure,
)
from langchain_qwen_image.sandbox.scenario import Scenario


def _network(fault: Fault, description: str, *, sends: bool = False) -> Scenario:
    answer = None if sends else Answer(200)
    return Scenario(description=description, layer="network", fault=fault, answer=answer)


def _imageless(content: list[object], failed: int, description: str) -> Scenario:
    choice = {"finish_reason": "stop", "message": {"role": "assistant", "content": content}}
    document = {
        "output": {
            "choices": [choice] if content else [],
            "task_metric": {"TOTAL": 1, "FAILED": failed, "SUCCEEDED": 1 - failed},
        },
        "usage": {"width": 0, "image_count": 0, "height": 0},
        "request_id": REQUEST_ID,
    }
    return Scenario(description=description, layer="DashScope", answer=json_answer(200, document))


BROKEN_ANSWERS: dict[str, Scenario] = {
    "error-200": dashscope_failure(
        200, "InternalError.Algo", "Generation failed.", "HTTP 200 with an error code in it."
    ),
    "malformed": page_failure(200, "Maintenance", "HTTP 200 with HTML."),
    "malformed-json": proxy_failure(
        200, '{"output": {"choices": [{"fin', "HTTP 200 with truncated JSON.", "application/json"
    ),
    "empty": Scenario(
        description="HTTP 200 without a body.", layer="proxy", answer=text_answer(200, "")
    ),
    "no-image": _imageless(
        [{"text": "I cannot draw that."}], 0, "HTTP 200 whose content is only text."
    ),
    "failed-task": _imageless([], 1, "HTTP 200 whose task failed: no image."),
    "redirect": Scenario(
        description="307 to another host. Following it would send the key there.",
        layer="proxy",
        answer=Answer(307, headers={"Location": "https://elsewhere.invalid/qwen-image"}),
    ),
    "timeout": _network(
        "timeout", "No response comes. In process, the read timeout is raised at once."
    ),
    "drop": _network("drop", "The connection is closed before any response."),
    "reset": _network("reset", "The connection is reset before any response."),
    "truncated": _network(
        "truncated", "The response is shorter than its Content-Length.", sends=True
    ),
    "drip": _network("drip", "The response comes one byte at a time.", sends=True),
    "unknown-shape": Scenario(
        description="HTTP 200 with an image in an unknown place.",
        layer="gateway",
        shape="unknown-shape",
    ),
}
"""The scenarios by their names, in the order of the documentation."""
