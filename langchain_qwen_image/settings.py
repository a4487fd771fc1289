"""Settings that both faces take, and the pipeline that they describe."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Self

from langchain_core.rate_limiters import BaseRateLimiter
from pydantic import (
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    field_serializer,
    field_validator,
    model_validator,
)

from langchain_qwen_image.account import account_setting
from langchain_qwen_image.account.budget import Budget
from langchain_qwen_image.account.pace import Pace
from langchain_qwen_image.concurrency.helper_threads import interruptible
from langchain_qwen_image.concurrency.threads import in_thread
from langchain_qwen_image.defaults import (
    BASE_URL,
    DATABASE_VARIABLE,
    MAX_IMAGE_BYTES,
    MAX_RETRIES,
    PRICE_USD,
    TIMEOUT,
)
from langchain_qwen_image.environment import (
    api_key_at_hand,
    base_url_from_environment,
    check_environment_sandbox,
    checked_base_url,
    sandbox_from_environment,
)
from langchain_qwen_image.integration.reporting import ReportingSettings
from langchain_qwen_image.pipeline.cancellation import CallState
from langchain_qwen_image.schemas import PARAMETERS, Size
from langchain_qwen_image.storage.opening import SaveTo
from langchain_qwen_image.storage.public_url import PublicUrlSetting, check_save_to
from langchain_qwen_image.transport.http_libraries import AsyncHttpClient, HttpClient

if TYPE_CHECKING:
    from langchain_qwen_image.pipeline.pipeline import Pipeline
    from langchain_qwen_image.result import ImageGenerationResult


def _parameter(description: str, unset: str) -> Any:
    rule = "On a tool it is fixed and removed from the model's schema, on a generator a default."
    return Field(default=None, description=f"{description} {rule} Unset, it is {unset}.")


class QwenImageSettings(ReportingSettings):
    """Settings that the tool, the generator and the toolkit share; all of them are optional."""

    model_config = ConfigDict(
        arbitrary_types_allowed=True,
        extra="forbid",
        hide_input_in_errors=True,
        validate_assignment=True,
    )

    api_key: SecretStr | None = Field(
        default_factory=api_key_at_hand,
        exclude=True,
        repr=False,
        description="API key of the gateway; never logged, traced or pickled. Default: the "
        "environment variable `PIXAZO_API_KEY`, then the file `~/.pixazo/api-key`.",
    )
    base_url: str = Field(
        default_factory=base_url_from_environment,
        description="Address of the gateway. Default: the environment variable `PIXAZO_BASE_URL`, "
        f"then `{BASE_URL}`.",
    )
    sandbox: bool = Field(
        default_factory=sandbox_from_environment,
        description="Generate placeholder images in the embedded sandbox: no key, no network, no "
        "cost. Default: the environment variable `PIXAZO_SANDBOX` (1, true, 0 or false), then off.",
    )
    timeout: float = Field(
        default=TIMEOUT,
        gt=0,
        allow_inf_nan=False,
        description="Seconds to wait for the complete response to one POST. Connecting has a "
        "separate limit of 10 seconds. A request that times out may still have been billed.",
    )
    max_retries: int = Field(
        default=MAX_RETRIES,
        ge=0,
        description="Maximum number of retries. Only requests that provably were not billed are "
        "retried: no connection, 429 that is not about billing, 503 with `Retry-After`.",
    )
    negative_prompt: str | None = _parameter("What to keep out of the image.", "empty")
    prompt_extend: bool | None = _parameter("Let the service enrich the prompt.", "true")
    watermark: bool | None = _parameter("Add the service's watermark.", "true")
    size: Size | None = _parameter("Width*height in pixels, at one price.", "1328*1328")
    save_to: SaveTo | None = Field(
        default=None,
        description="Where images are saved, each with a `.json` file: a folder, an address such "
        "as `s3://bucket/prefix` (extra `objects`), or a LangChain `ByteStore`. Without it results "
        "have links only, which expire within 24 hours.",
    )
    public_url: PublicUrlSetting = Field(
        default=None,
        description="Where a browser sees the saved images: an address, to which the image's key "
        "in `save_to` is added, or a function that returns the address by the key. Then the model "
        "is given that address, and no path of this machine.",
    )
    max_image_bytes: int = Field(
        default=MAX_IMAGE_BYTES,
        gt=0,
        description="Maximum size of one downloaded image, in bytes. The default is 32 MiB.",
    )
    account: account_setting.AccountSetting = Field(
        default=None,
        description="The books: the record of every call, and what may be spent. A path, a "
        f"`postgresql://` address or an `Account`. Default: what `{DATABASE_VARIABLE}` names, not "
        f"in the sandbox; then a file next to the `save_to` folder; then none.",
    )
    budget: Budget | None = Field(
        default=None,
        exclude=True,
        description="Limit in US dollars or images. A call that would exceed it is rejected before "
        "anything is sent. Several tools and generators can share one budget.",
    )
    rate_limiter: BaseRateLimiter | None = Field(
        default=None, exclude=True, description="LangChain rate limiter, acquired before each POST."
    )
    pace: Pace | Literal[False] | None = Field(
        default=None, exclude=True, description="Shared slow-down after a 429; `False` for none."
    )
    idempotency: bool = Field(
        default=True,
        description="On a tool: pay once for the same tool call, however often it is made.",
    )
    retry_unknown: bool = Field(
        default=False,
        description="Pay again where the answer of an earlier call of the key was lost.",
    )
    retry_lost: bool = Field(
        default=False,
        description="Pay again where an image of the key was paid for and is lost.",
    )
    price_usd: float = Field(
        default=PRICE_USD,
        ge=0,
        allow_inf_nan=False,
        description="Price of one image in US dollars, for budgets, costs and the account. The "
        "default is the price in the API document.",
    )
    http_client: HttpClient | None = Field(
        default=None,
        exclude=True,
        repr=False,
        description="Your own `httpx` or `httpx2` client for the POST; it is never closed. Image "
        "downloads use its certificates and its proxy, and nothing else of it.",
    )
    http_async_client: AsyncHttpClient | None = Field(
        default=None, exclude=True, repr=False, description="`http_client` for asyncio."
    )

    _pipelines: "list[Pipeline]" = PrivateAttr(default_factory=list)

    @field_validator("base_url")
    @classmethod
    def _check_base_url(cls, value: str) -> str:
        return checked_base_url(value)

    @field_serializer("account")
    def _without_password(self, account: Any) -> str | None:
        return None if account is None else str(getattr(account, "location", account))

    @model_validator(mode="before")
    @classmethod
    def _refuse_ledger(cls, given: Any) -> Any:
        account_setting.refuse_ledger(given)
        return given

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        check_save_to(self.public_url, self.save_to)
        account_setting.check_budget(self.account, self.budget, sandbox=self.sandbox)
        if self.sandbox and "sandbox" not in self.model_fields_set:
            given = [name for name in self.model_fields_set if self.__dict__[name] is not None]
            check_environment_sandbox(given)
        return self

    @property
    def pipeline(self) -> "Pipeline":
        """The pipeline that these settings describe, set up at first use."""
        made = self._pipelines
        if not made:
            # Several threads may, and share the first one's. An interrupt must hit no import: it
            # could leave the import's lock held.
            made.append(interruptible(self._make_pipeline, CallState()))
        return made[0]

    async def apipeline(self) -> "Pipeline":
        """Async twin of `pipeline`: setting it up reads the disk, beside the event loop."""
        return self._pipelines[0] if self._pipelines else await in_thread(lambda: self.pipeline)

    def fetch(self, result: "ImageGenerationResult | Mapping[str, Any]") -> "ImageGenerationResult":
        """Save the images of an earlier result or artifact that are not saved yet.

        Free of charge: the links are downloaded into `save_to`.

        Raises:
            DownloadError: An image could not be downloaded, or its link was not safe to open.
            ConfigurationError: `save_to` is not set.
            OSError: The disk is full, or the folder cannot be written.
        """
        return self.pipeline.fetch(result)

    async def afetch(
        self, result: "ImageGenerationResult | Mapping[str, Any]"
    ) -> "ImageGenerationResult":
        """Async twin of `fetch`."""
        return await (await self.apipeline()).afetch(result)

    def close(self) -> None:
        """Close connections and account. Optional: a later call opens them again."""
        self.pipeline.close()

    async def aclose(self) -> None:
        """Async twin of `close`, for the running loop's connections."""
        await (await self.apipeline()).aclose()

    def given_parameters(self) -> dict[str, Any]:
        """Return the image parameters that are set."""
        set_here = ((name, getattr(self, name)) for name in PARAMETERS)
        return {name: value for name, value in set_here if value is not None}

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in QwenImageSettings.model_fields:
            self._pipelines = []

    def _make_pipeline(self) -> "Pipeline":
        # Imported here: an agent that has the tool and never calls it should not pay for these.
        from langchain_qwen_image.pipeline.assembly import assemble

        return assemble(self)
