"""`generate_image`: from the arguments of a request to its result, paid for once."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from mcp.server.context import ServerRequestContext
from mcp.types import CallToolRequestParams, CallToolResult, InputRequiredResult

from langchain_qwen_image.account.deliveries import Deliveries
from langchain_qwen_image.account.limits import dollars
from langchain_qwen_image.errors import (
    CallInProgressError,
    ConfigurationError,
    InvalidRequestError,
    QwenImageError,
)
from langchain_qwen_image.generator import QwenImageGenerator
from langchain_qwen_image.mcp.approval import Answer, Ask, ask_person
from langchain_qwen_image.mcp.contents import error_result, image_result, text
from langchain_qwen_image.mcp.progress import Progress
from langchain_qwen_image.mcp.tickets import Counter, Outbox, Ticket
from langchain_qwen_image.schemas import QwenImageInput

__all__ = ["NEW_IMAGE", "Generating"]

NEW_IMAGE = "new_image"
_SHOWN = 200
_Answer = CallToolResult | InputRequiredResult
_DECLINED = {
    Answer.NO: "The user declined. Nothing was sent or paid. Do not ask for this image again "
    "unless the user wants it.",
    Answer.DISMISSED: "The user did not answer whether this image may be paid for. Nothing was "
    "sent or paid.",
    Answer.NOBODY: "This server asks the user before each image (--ask always), and this client "
    "cannot ask. Nothing was sent or paid. The user can start the server with --ask auto.",
}


@dataclass(slots=True)
class Generating:
    """Answers requests for images.

    Attributes:
        generator: Makes them; it has a budget and an account.
        ask: When a person is asked.
    """

    generator: QwenImageGenerator
    ask: Ask
    _counter: Counter = field(init=False)
    _has_told_limit: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        """Take the account.

        Raises:
            ConfigurationError: There is none.
        """
        account = self.generator.pipeline.account
        if account is None:
            raise ConfigurationError("The MCP server needs an account, and so a folder to save to.")
        self._counter = Counter(Deliveries(account.store))

    async def __call__(
        self, ctx: ServerRequestContext, params: CallToolRequestParams, outbox: Outbox | None
    ) -> _Answer:
        """Return the result of a request, or the question that a person has to answer first."""
        given = dict(params.arguments or {})
        async with Progress(ctx.session) as progress:
            try:
                is_new = _flag(given.pop(NEW_IMAGE, None))
                arguments = self.generator.checked(given)
                ticket = await self._ticket(ctx, params, arguments, is_new=is_new)
            except QwenImageError as error:
                return error_result(error)
            if not isinstance(ticket, Ticket):
                return ticket
            progress.ticket = ticket
            if outbox is not None:
                outbox.expect(ticket)
            try:
                answer = await self._answer(arguments, ticket, progress)
            except BaseException:  # cancelled, mostly: the client has given it up
                ticket.let_go()
                raise
            ticket.has_result = True
            if outbox is None:
                ticket.hand_over()
            return answer

    async def _answer(
        self, arguments: QwenImageInput, ticket: Ticket, progress: Progress
    ) -> CallToolResult:
        try:
            result = await self.generator.ainvoke(
                arguments, {"callbacks": [progress.listener]}, idempotency_key=ticket.key
            )
        except QwenImageError as error:
            ticket.is_promise = isinstance(error, CallInProgressError)
            return error_result(error)
        ticket.is_image = True
        answer = await image_result(result, self._limit_once())
        await progress.tell("saved" if result.image.path else "received")
        return answer

    async def _ticket(
        self,
        ctx: ServerRequestContext,
        params: CallToolRequestParams,
        arguments: QwenImageInput,
        *,
        is_new: bool,
    ) -> Ticket | _Answer:
        """Return by which call a request gets its image, once a person has agreed to pay."""
        pipeline = self.generator.pipeline
        base_url = pipeline.sender.base_url
        fingerprint = await asyncio.to_thread(pipeline.fingerprint_of, arguments)

        async def ticket(*, pays: bool) -> Ticket | None:
            return await self._counter.ticket(base_url, fingerprint, pays=pays, again=is_new)

        if self.ask is not Ask.NEVER:
            paid_for = await ticket(pays=False)
            if paid_for is not None:
                return paid_for
            answer = await ask_person(ctx, params, self._question(arguments), fingerprint)
            if isinstance(answer, InputRequiredResult):
                return answer
            is_allowed = answer is Answer.NOBODY and self.ask is Ask.AUTO
            if answer is not Answer.YES and not is_allowed:
                return CallToolResult(content=[text(_DECLINED[answer])], is_error=True)
        mine = await ticket(pays=True)
        assert mine is not None  # noqa: S101 - who may pay gets one
        return mine

    def _question(self, arguments: QwenImageInput) -> str:
        price = self.generator.pipeline.sender.price_usd
        cost = f"for {dollars(price)}" if price else "at no cost (sandbox)"
        prompt = " ".join(arguments.prompt.split())
        shown = prompt if len(prompt) <= _SHOWN else f"{prompt[:_SHOWN]}…"
        return f"Generate this image {cost}? {arguments.size}: {shown}"

    def _limit_once(self) -> str:
        """Say, in the first answer, what this server may spend."""
        budget = self.generator.budget
        if self._has_told_limit or budget is None or budget.max_usd is None:
            return ""
        self._has_told_limit = True
        left = dollars(budget.remaining_usd or 0)
        return (
            f"This server may spend {dollars(budget.max_usd)} until it is restarted; {left} of it "
            "is left."
        )


def _flag(given: Any) -> bool:
    if given in (None, ""):
        return False
    if isinstance(given, bool):
        return given
    raise InvalidRequestError(f"Nothing was sent: {NEW_IMAGE} must be true or false.")
