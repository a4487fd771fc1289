"""Whether a person is asked before an image is paid for, and what they say.

Clients of the protocol up to 2025-11-25 are asked in the middle of a call. Later ones are given the
question as the answer of the call, and make it again with what the person said.
"""

from enum import Enum, StrEnum

from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp.types import (
    CallToolRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequiredResult,
)
from mcp.types.version import is_version_at_least
from pydantic import ValidationError

__all__ = ["Answer", "Ask", "ask_person"]

_IN_RESULTS_SINCE = "2026-07-28"
_NAME = "approve"
_FORM = {"type": "object", "properties": {}}  # yes or no is the whole answer


class Ask(StrEnum):
    """When a person is asked before an image is paid for."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class Answer(Enum):
    """What came of asking."""

    YES = "the person agreed"
    NO = "the person declined"
    DISMISSED = "the person did not answer"
    NOBODY = "the client cannot ask anybody"


async def ask_person(
    ctx: ServerRequestContext, params: CallToolRequestParams, question: str, subject: str
) -> Answer | InputRequiredResult:
    """Ask the person at the client.

    Args:
        ctx: The request.
        params: Its arguments, with the answer if the question was its answer before.
        question: What to ask.
        subject: What it is about: an answer counts for the same subject only.

    Returns:
        What came of it; or the question, where that is to be the answer of the request.
    """
    if not _can_ask(ctx):
        return Answer.NOBODY
    if not is_version_at_least(ctx.protocol_version, _IN_RESULTS_SINCE):
        try:
            said = await ctx.session.elicit_form(question, _FORM, ctx.request_id)
        except (MCPError, ValidationError):  # it said that it can, and cannot
            return Answer.NOBODY
        return _meaning(said)
    given = (params.input_responses or {}).get(_NAME)
    if isinstance(given, ElicitResult) and params.request_state == subject:
        return _meaning(given)
    request = ElicitRequest(
        params=ElicitRequestFormParams(message=question, requested_schema=_FORM)
    )
    return InputRequiredResult(input_requests={_NAME: request}, request_state=subject)


def _can_ask(ctx: ServerRequestContext) -> bool:
    able = ctx.session.client_capabilities
    able_to_ask = None if able is None else able.elicitation
    # `{}` is what clients said before there was anything but forms.
    return able_to_ask is not None and (able_to_ask.form is not None or able_to_ask.url is None)


def _meaning(said: ElicitResult) -> Answer:
    answers = {"accept": Answer.YES, "decline": Answer.NO, "cancel": Answer.DISMISSED}
    return answers[said.action]
