"""Results: for programs as objects, for agents as one sentence and an artifact of plain JSON."""

from collections.abc import AsyncIterable, Iterable, Mapping
from contextlib import suppress
from dataclasses import is_dataclass
from datetime import UTC, datetime
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, Field, ValidationError

from langchain_qwen_image.artifact import SCHEMA, ResultArtifact, found_in
from langchain_qwen_image.errors import InvalidRequestError
from langchain_qwen_image.image import GeneratedImage
from langchain_qwen_image.rendering.content_blocks import Kind, Role, message_of
from langchain_qwen_image.schemas import MODEL, ImageParameters, QwenImageInput
from langchain_qwen_image.wire.arguments import explain
from langchain_qwen_image.wire.links import is_inline

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage, HumanMessage
    from langchain_core.messages.content import ImageContentBlock

__all__ = ["GeneratedImage", "ImageGenerationResult"]


class ImageGenerationResult(BaseModel):
    """What one call made: at least one image, and what it cost.

    Attributes:
        images: The images, at least one.
        prompt: What was asked for.
        parameters: The four parameters as they were sent.
        model: The model asked.
        request_id: The gateway's name of the call, to quote to its support.
        finish_reason: As the gateway gave it; documented only as `stop`.
        cost_usd: Price of the call in US dollars; 0 in the sandbox, and where an earlier call paid.
        created_at: When the answer came, in UTC.
        sandbox: True when the images are placeholders of the sandbox.
        call_id: Id of the call in the account and in progress events, if it is known.
        warnings: What was unusual about the answer, each in one sentence; mostly empty.
        replayed: True when an earlier call, or another one at the same time, bought the images.
        first_cost_usd: What that call cost in US dollars, where the result is replayed.
    """

    images: list[GeneratedImage] = Field(min_length=1)
    prompt: str
    parameters: ImageParameters
    model: str = MODEL
    request_id: str | None = None
    finish_reason: str | None = None
    cost_usd: float = Field(ge=0)
    created_at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    sandbox: bool = False
    call_id: str | None = None
    warnings: list[str] = Field(default_factory=list)
    replayed: bool = False
    first_cost_usd: float | None = Field(default=None, ge=0)

    def model_post_init(self, context: Any, /) -> None:
        """Tell each image what its name is made from, should it be saved into a folder."""
        for image in self.images:
            image.set_origin(self.prompt, self.created_at)

    @property
    def image(self) -> GeneratedImage:
        """The first image, which is nearly always the only one."""
        return self.images[0]

    def as_replayed(self) -> Self:
        """Return a copy for a call that paid nothing, because another one bought the images."""
        cost = self.first_cost_usd if self.replayed else self.cost_usd
        replayed = {"replayed": True, "cost_usd": 0.0, "first_cost_usd": cost}
        return self.model_copy(deep=True, update=replayed)

    def to_artifact(self) -> ResultArtifact:
        """Return the result as plain JSON, without bytes: an inline image's `url` is None."""
        artifact: Any = {"schema": SCHEMA, **self.model_dump(mode="json")}
        for image, made in zip(artifact["images"], self.images, strict=True):
            image["path"] = made.told_path
            if image["url"] and is_inline(image["url"]):
                image["url"] = None
        return artifact  # type: ignore[no-any-return]

    @classmethod
    def from_artifact(cls, artifact: Mapping[str, Any]) -> Self:
        """Bring a result back from `message.artifact`.

        Raises:
            InvalidRequestError: It is not an artifact of this package.
        """
        try:
            return cls.model_validate(artifact)
        except ValidationError as error:
            problem = explain(error)
        raise InvalidRequestError(
            f"Expected the artifact of an image tool's message, got something else: {problem}"
        )

    @classmethod
    def all_from(cls, messages: object) -> list[Self]:
        """Gather the results that are anywhere in messages, a graph's state or a stream.

        Nothing is fetched or paid for. Results of other tools are ignored. A result that comes
        several times, as in `stream_mode="values"`, or that a later call brings back, is one: the
        first.

        Args:
            messages: A message, an artifact, a result, a state (dictionary, pydantic model,
                dataclass), an item of `stream(…)` in any mode, an event of `astream_events`, or an
                iterable of these. An iterator, such as `agent.stream(…)`, is read to its end,
                which runs the agent. Of an asynchronous one pass the items, collected:
                `[item async for item in agent.astream(…)]`.

        Returns:
            The results in the order in which they first appear.

        Raises:
            InvalidRequestError: It is nothing that can have results in it.
        """
        found: dict[tuple[str, ...], Self] = {}
        for one in _readable(messages):
            for given in found_in(one, cls):
                with suppress(InvalidRequestError):  # shaped like an artifact, and another tool's
                    result = cls.from_artifact(given) if isinstance(given, Mapping) else given
                    found.setdefault(tuple(image.id for image in result.images), result)
        return list(found.values())

    @property
    def arguments(self) -> QwenImageInput:
        """The arguments of the call, to ask for the like of it again."""
        return QwenImageInput(prompt=self.prompt, **self.parameters.model_dump())

    def to_content_block(self, kind: Kind = "base64") -> "ImageContentBlock":
        """Return the first image as `GeneratedImage.to_content_block` does."""
        return self.image.to_content_block(kind)

    async def ato_content_block(self, kind: Kind = "base64") -> "ImageContentBlock":
        """Async twin of `to_content_block`."""
        return await self.image.ato_content_block(kind)

    def to_message(self, kind: Kind = "base64", *, role: Role = "ai") -> "AIMessage | HumanMessage":
        """Return a message of the prompt and all images, in standard content blocks.

        With `role="human"` it can be shown to any vision model; most take no images from `ai`.

        Raises:
            DownloadError: An image cannot be read, or its link has expired.
        """
        return message_of(self.prompt, [one.to_content_block(kind) for one in self.images], role)

    async def ato_message(
        self, kind: Kind = "base64", *, role: Role = "ai"
    ) -> "AIMessage | HumanMessage":
        """Async twin of `to_message`."""
        blocks = [await one.ato_content_block(kind) for one in self.images]
        return message_of(self.prompt, blocks, role)

    def _repr_html_(self) -> str:
        from langchain_qwen_image.rendering.html import result_html

        return result_html(self)

    def summary(self) -> str:
        """Return the sentence for a model: what was made, where it is, what it cost."""
        from langchain_qwen_image.rendering.summary import sentence

        return sentence(self)


def _readable(messages: object) -> Iterable[object]:
    """Return what to look through, item by item where it is an iterator."""
    if isinstance(messages, AsyncIterable) or isawaitable(messages):
        advice = "collect its items first: [item async for item in …]"
        raise InvalidRequestError(
            f"Expected messages, a state or a stream, got {type(messages).__name__}: "
            f"{'await it first' if isawaitable(messages) else advice}."
        )
    if isinstance(messages, Mapping | BaseModel | tuple) or is_dataclass(messages):
        return [messages]
    if isinstance(messages, Iterable) and not isinstance(messages, str | bytes):
        return messages
    raise InvalidRequestError(
        f"Expected messages, a state or a stream, got {type(messages).__name__}."
    )
