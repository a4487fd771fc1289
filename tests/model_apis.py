"""The APIs of chat models on loopback: they ask for tool calls once, and then say that it is done.

They refuse what the real ones refuse of images and of the order of messages.
"""

import json
from itertools import pairwise
from typing import Any

from loopback import LoopbackServer, answer

Refusal = str | None
OPENAI_REFUSES = "Image URLs are only allowed for messages with role 'user'"
MISTRAL_REFUSES = "Unexpected role 'user' after role 'tool'"


class ModelApi(LoopbackServer):
    """Speaks the API that a request is for; `refuses` are the rules of its kind."""

    def __init__(self, *tool_calls: dict[str, Any], is_mistral: bool = False) -> None:
        """Take the tool calls of the first answer, each with name, args and id."""
        super().__init__(self._say)
        self._calls = tool_calls
        self._is_mistral = is_mistral
        self.bodies: list[Any] = []

    def _say(self, request: bytes) -> bytes:
        head, _, body = request.partition(b"\r\n\r\n")
        path = head.split(b" ")[1].decode()
        given = json.loads(body)
        self.bodies.append(given)
        calls = self._calls if len(self.bodies) == 1 else ()
        if "generateContent" in path:
            return answer(body=_gemini(calls))
        if path.endswith("/messages"):
            return answer(body=_messages(calls))
        if path.endswith("/responses"):
            return answer(body=_responses(calls))
        refusal = _refused(given["messages"], is_mistral=self._is_mistral)
        if refusal is not None:
            return answer(400, {"error": {"message": refusal, "type": "invalid_request_error"}})
        return answer(body=_chat(calls))


def _refused(messages: list[Any], *, is_mistral: bool) -> Refusal:
    """Return why Chat Completions refuses messages, in the words of OpenAI's and of Mistral's."""
    roles = [message["role"] for message in messages]
    for message in messages:
        parts = message["content"] if isinstance(message.get("content"), list) else []
        if message["role"] != "user" and any(part["type"] != "text" for part in parts):
            return OPENAI_REFUSES
        for part in parts:
            if part["type"] not in ("text", "image_url") or set(part) != {"type", part["type"]}:
                return f"Unknown parameter in {part}"
    asked = [call["id"] for one in messages for call in one.get("tool_calls") or []]
    answered = [one["tool_call_id"] for one in messages if one["role"] == "tool"]
    is_apart = any(
        message["role"] == "assistant"
        and roles[number + 1 : number + 1 + len(calls)] != ["tool"] * len(calls)
        for number, message in enumerate(messages)
        if (calls := message.get("tool_calls"))
    )
    if asked != answered or is_apart:
        return "An assistant message with 'tool_calls' must be followed by tool messages"
    if is_mistral and ("tool", "user") in pairwise(roles):
        return MISTRAL_REFUSES
    return None


def _chat(calls: Any) -> dict[str, Any]:
    said: dict[str, Any] = {"role": "assistant", "content": "" if calls else "Here you are."}
    if calls:
        said["tool_calls"] = [
            {
                "id": call["id"],
                "type": "function",
                "function": {"name": call["name"], "arguments": json.dumps(call["args"])},
            }
            for call in calls
        ]
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    choice = {"index": 0, "finish_reason": "tool_calls" if calls else "stop", "message": said}
    return {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [choice],
        "usage": usage,
    }


def _responses(calls: Any) -> dict[str, Any]:
    text = {"type": "output_text", "text": "Here you are.", "annotations": []}
    said = {
        "type": "message",
        "id": "m",
        "role": "assistant",
        "status": "completed",
        "content": [text],
    }
    asked = [
        {
            "type": "function_call",
            "id": f"fc_{call['id']}",
            "call_id": call["id"],
            "name": call["name"],
            "arguments": json.dumps(call["args"]),
            "status": "completed",
        }
        for call in calls
    ]
    return {
        "id": f"resp_{len(calls)}",
        "object": "response",
        "created_at": 1,
        "model": "m",
        "status": "completed",
        "output": asked or [said],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
    }


def _messages(calls: Any) -> dict[str, Any]:
    asked = [
        {"type": "tool_use", "id": call["id"], "name": call["name"], "input": call["args"]}
        for call in calls
    ]
    return {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": asked or [{"type": "text", "text": "Here you are."}],
        "stop_reason": "tool_use" if calls else "end_turn",
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }


def _gemini(calls: Any) -> dict[str, Any]:
    asked = [{"functionCall": {"name": call["name"], "args": call["args"]}} for call in calls]
    content = {"role": "model", "parts": asked or [{"text": "Here you are."}]}
    return {"candidates": [{"content": content, "finishReason": "STOP"}]}
