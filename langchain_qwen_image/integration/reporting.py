"""What a call reports while it is under way and when it has ended."""

from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field

from langchain_qwen_image.integration.copying import CopiedSettings
from langchain_qwen_image.integration.tracing import (
    areport,
    checked_thumbnails,
    report,
    report_cost,
)

if TYPE_CHECKING:
    from langchain_qwen_image.result import ImageGenerationResult


class ReportingSettings(CopiedSettings):
    """Settings of what a call reports to listeners; all of them are optional."""

    progress_seconds: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="Send a progress event `generating` every so many seconds while the gateway "
        "works on a request. Unset, there is none between `sent` and `received`.",
    )

    trace_thumbnails: Annotated[bool, AfterValidator(checked_thumbnails)] = Field(
        default=False,
        description="Attach a small copy of each saved image, at most 384 pixels wide and high, to "
        "its LangSmith run. It needs Pillow, the extra `view`.",
    )

    def _report(self, result: "ImageGenerationResult") -> "ImageGenerationResult":
        return report(result, thumbnails=self.trace_thumbnails)

    async def _areport(self, result: "ImageGenerationResult") -> "ImageGenerationResult":
        return await areport(result, thumbnails=self.trace_thumbnails)

    def _report_failure(self, *, may_be_billed: bool) -> None:
        if may_be_billed and not self.__dict__["sandbox"]:
            report_cost(self.__dict__["price_usd"])
