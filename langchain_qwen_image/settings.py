"""Settings that both faces take, and the pipeline that they describe."""

import copy
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import httpx
from langchain_core.rate_limiters import BaseRateLimiter, InMemoryRateLimiter
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    field_validator,
    model_validator,
)

from langchain_qwen_image.account.budget import Budget
from langchain_qwen_image.defaults import (
    LEDGER_NAME,
    MAX_IMAGE_BYTES,
    MAX_RETRIES,
    PRICE_USD,
    TIMEOUT,
)
from langchain_qwen_image.environment import (
    api_key_from_environment,
    base_url_from_environment,
    check_environment_sandbox,
    checked_base_url,
    sandbox_from_environment,
)
from langchain_qwen_image.errors import QwenImageError
from langchain_qwen_image.integration.tracing import report_cost
from langchain_qwen_image.pipeline.cancellation import CallState
from langchain_qwen_image.schemas import PARAMETERS, Size
from langchain_qwen_image.storage.opening import SaveTo

if TYPE_CHECKING:
    from langchain_qwen_image.pipeline.pipeline import Pipeline
    from langchain_qwen_image.result import ImageGenerationResult

_NOT_COPIED = frozenset({"api_key", "http_client", "http_async_client"})


class QwenImageSettings(BaseModel):
    """What can be set on the tool and on the generator alike."""

    model_config = ConfigDict(
        arbitrary_types_allowed=True,
        extra="forbid",
        hide_input_in_errors=True,
        validate_assignment=True,
    )

    api_key: SecretStr | None = Field(
        default_factory=api_key_from_environment,
        exclude=True,
        repr=False,
        description="Subscription key; by default the environment variable PIXAZO_API_KEY, else "
        "the file ~/.pixazo/api-key.",
    )
    base_url: str = Field(
        default_factory=base_url_from_environment,
        description="Address of the gateway; by default PIXAZO_BASE_URL, else the public one.",
    )
    sandbox: bool = Field(
        default_factory=sandbox_from_environment,
        description="Answer from the embedded sandbox: no key, no network, no cost. By default "
        "the environment variable PIXAZO_SANDBOX, else off.",
    )
    timeout: float = Field(
        default=TIMEOUT,
        gt=0,
        allow_inf_nan=False,
        description="Seconds for the whole answer to one POST; connecting has 10 s of its own.",
    )
    max_retries: int = Field(
        default=MAX_RETRIES,
        ge=0,
        description="Extra attempts, made only where the request provably bought nothing.",
    )
    negative_prompt: str | None = Field(default=None, description="Set for all calls, or unset.")
    prompt_extend: bool | None = Field(default=None, description="Set for all calls, or unset.")
    watermark: bool | None = Field(default=None, description="Set for all calls, or unset.")
    size: Size | None = Field(default=None, description="Set for all calls, or unset.")
    save_to: SaveTo | None = Field(
        default=None, description="Folder or ByteStore where generated images are saved."
    )
    max_image_bytes: int = Field(
        default=MAX_IMAGE_BYTES, gt=0, description="Cap of one fetched image, in bytes."
    )
    ledger: str | os.PathLike[str] | None = Field(
        default=None,
        description=f"SQLite record of every call; {LEDGER_NAME} in the save_to folder by default.",
    )
    budget: Budget | None = Field(
        default=None, exclude=True, description="Refuses before anything is sent."
    )
    rate_limiter: BaseRateLimiter | None = Field(
        default=None, exclude=True, description="Acquired before each POST."
    )
    price_usd: float = Field(
        default=PRICE_USD,
        ge=0,
        allow_inf_nan=False,
        description="Price of one image in US dollars; the default is the API document's.",
    )
    http_client: httpx.Client | None = Field(
        default=None,
        exclude=True,
        repr=False,
        description="Your own, for the POST; never closed here. Its certificates and its proxy, "
        "and nothing else of it, serve to download images too.",
    )
    http_async_client: httpx.AsyncClient | None = Field(
        default=None, exclude=True, repr=False, description="The same for asyncio."
    )

    _pipelines: "list[Pipeline]" = PrivateAttr(default_factory=list)

    @field_validator("base_url")
    @classmethod
    def _check_base_url(cls, value: str) -> str:
        return checked_base_url(value)

    @model_validator(mode="after")
    def _check_sandbox(self) -> Self:
        if self.sandbox and "sandbox" not in self.model_fields_set:
            given = [name for name in self.model_fields_set if self.__dict__[name] is not None]
            check_environment_sandbox(given)
        return self

    @property
    def pipeline(self) -> "Pipeline":
        """The pipeline that these settings describe, set up at first use."""
        made = self._pipelines
        if not made:
            made.append(self._make_pipeline())  # several threads may, and share the first one's
        return made[0]

    def fetch(self, result: "ImageGenerationResult | Mapping[str, Any]") -> "ImageGenerationResult":
        """Keep the images of an earlier result, or artifact, that are not saved yet.

        Free of charge: only the links are fetched, into `save_to`.

        Raises:
            DownloadError: One could not be fetched, or was not safe to fetch.
            ConfigurationError: There is no `save_to`.
            OSError: The disk is full, or the folder cannot be written.
        """
        return self.pipeline.fetch(result)

    async def afetch(
        self, result: "ImageGenerationResult | Mapping[str, Any]"
    ) -> "ImageGenerationResult":
        """Async twin of `fetch`."""
        return await self.pipeline.afetch(result)

    def close(self) -> None:
        """Close connections and ledger; never required, and a later call opens them again."""
        self.pipeline.close()

    async def aclose(self) -> None:
        """Async twin of `close`, for the running loop's connections."""
        await self.pipeline.aclose()

    def given_parameters(self) -> dict[str, Any]:
        """Return the parameters that are set here."""
        set_here = ((name, getattr(self, name)) for name in PARAMETERS)
        return {name: value for name, value in set_here if value is not None}

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in QwenImageSettings.model_fields:
            self._pipelines = []

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Copy with some settings changed, checked as those of a new one are."""
        source = copy.deepcopy(self) if deep else self
        shares_key = not deep and (not self.sandbox or "sandbox" in self.model_fields_set)
        names = source.model_fields_set | ({"api_key"} if shares_key else set())
        return type(self)(**{name: source.__dict__[name] for name in names} | dict(update or {}))

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Copy without key and connections: the copy reads the environment.

        Rate limiter and store are shared, as a budget is: a second one would be another limit.
        """
        shared = {id(one): one for one in (self.rate_limiter, self.save_to)}
        return type(self)(**copy.deepcopy(self._copied_settings(), (memo or {}) | shared))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle without key and connections: the copy reads the environment.

        Raises:
            TypeError: There is a rate limiter in memory, or something else that cannot be pickled.
        """
        if isinstance(self.rate_limiter, InMemoryRateLimiter):
            raise TypeError(
                "A rate limiter in memory cannot be pickled: the copy's would be a second one, and "
                "together they would send faster. Pickle without rate_limiter, and give the copy "
                "its own."
            )
        return _rebuild, (type(self), self._copied_settings())

    def _copied_settings(self) -> dict[str, Any]:
        names = self.model_fields_set - _NOT_COPIED
        return {name: self.__dict__[name] for name in names}

    def _report_failure(self, error: BaseException, call_state: CallState) -> None:
        if call_state.may_be_billed(error) and not self.sandbox:
            report_cost(self.price_usd)

    def _make_pipeline(self) -> "Pipeline":
        # Imported here: an agent that has the tool and never calls it should not pay for these.
        from langchain_qwen_image.pipeline.assembly import assemble

        return assemble(self)


def may_repeat(error: BaseException) -> bool:
    """Say whether a repeat cannot buy a second image; `with_retry()` asks this by default."""
    return isinstance(error, QwenImageError) and error.is_retryable


def _rebuild(kind: type[QwenImageSettings], settings: dict[str, Any]) -> QwenImageSettings:
    return kind(**settings)
