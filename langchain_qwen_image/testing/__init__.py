"""For people who test their own agents and chains: cassettes without secrets."""

from langchain_qwen_image.testing.scrub import scrub_request, scrub_response, vcr_config

__all__ = ["scrub_request", "scrub_response", "vcr_config"]
