"""The key by which a tool call is known when a step of a graph runs again."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_qwen_image.defaults import GENERATE_TOOL
from langchain_qwen_image.gateway_schemas import TextToImageRequest
from langchain_qwen_image.schemas import QwenImageInput

_VERSION = 1
_CHECKPOINTER = "__pregel_checkpointer"
_SENT = "__pregel_push"


def tool_call_key(
    config: Mapping[str, Any] | None,
    tool_call_id: str | None,
    arguments: QwenImageInput,
    *,
    tool: str = GENERATE_TOOL,
) -> str | None:
    """Return the idempotency key of a tool call; None where it could not be known again.

    It says which call of which step of which thread it is, and what is sent for it. LangGraph gives
    a step that runs again the same name: after a resume, in each attempt of a retry, in every
    process. A later turn, time travel and a fork are other steps.

    Args:
        config: The run's configuration, as LangGraph filled it.
        tool_call_id: The model's name of the call.
        arguments: What is sent.
        tool: Name of the tool. Some models count the calls of each tool from the start, so that
            two tools are called by one id.
    """
    step = _step_of(config or {}) if tool_call_id else None
    if step is None:
        return None
    record = {
        "version": _VERSION,
        "step": step,
        "tool_call_id": tool_call_id,
        "sent": TextToImageRequest.from_input(arguments).model_dump(mode="json"),
    }
    if tool != GENERATE_TOOL:  # keys from before tools had other names stay good
        record["tool"] = tool
    text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return f"tool-{hashlib.sha256(text.encode()).hexdigest()}"


def _step_of(config: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the thread and the name of the step in it; None without a checkpointer.

    Without one a thread can be named all the same, and the step has a new name in every run.
    """
    given = config.get("configurable") or {}
    thread, namespace = given.get("thread_id"), given.get("checkpoint_ns")
    if thread in (None, "") or not namespace or given.get(_CHECKPOINTER, namespace) is None:
        return None
    return str(thread), _step_name(str(namespace), config)


def _step_name(namespace: str, config: Mapping[str, Any]) -> str:
    """Return the namespace, or one that the calls of a message share.

    An agent makes a task of each call of a message. What they have in common is the checkpoint that
    the step began with, of which LangGraph makes their ids.
    """
    parent, separator, task = namespace.rpartition("|")
    path: Sequence[Any] = (config.get("metadata") or {}).get("langgraph_path") or ()
    checkpoints = config["configurable"].get("checkpoint_map") or {}
    is_sent = len(path) > 1 and path[0] == _SENT and isinstance(path[1], int)
    if not is_sent or parent not in checkpoints:
        return namespace
    return f"{parent}{separator}{task.partition(':')[0]}:{checkpoints[parent]}"
