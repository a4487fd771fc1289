"""What a call tells of itself, while it is under way and when it has ended."""

from pydantic import Field

from langchain_qwen_image.integration.copying import CopiedSettings
from langchain_qwen_image.integration.tracing import report_cost


class ReportingSettings(CopiedSettings):
    """Settings of what a call reports to listeners; all of them are optional."""

    progress_seconds: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="Send a progress event `generating` every so many seconds while the gateway "
        "works on a request. Unset, there is none between `sent` and `received`.",
    )

    def _report_failure(self, *, may_be_billed: bool) -> None:
        if may_be_billed and not self.__dict__["sandbox"]:
            report_cost(self.__dict__["price_usd"])
