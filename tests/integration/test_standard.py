"""LangChain's standard tests for tools, on a transcribed cassette and on the sandbox."""

from typing import Any

import pytest
from langchain_tests.integration_tests import ToolsIntegrationTests
from langchain_tests.unit_tests import ToolsUnitTests
from test_cassettes import SAMPLE_PROMPT

from langchain_qwen_image import QwenImageTool


class _OurTool:
    @property
    def tool_constructor(self) -> type[QwenImageTool]:
        return QwenImageTool

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return {"prompt": SAMPLE_PROMPT}


class _WithKey(_OurTool):
    @property
    def tool_constructor_params(self) -> dict[str, Any]:
        return {"api_key": "test-key-0123456789abcdef"}


class _InSandbox(_OurTool):
    @property
    def tool_constructor_params(self) -> dict[str, Any]:
        return {"sandbox": True}


class TestUnit(_WithKey, ToolsUnitTests):
    """LangChain's unit tests, with a key."""

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        return (
            {"PIXAZO_API_KEY": "key-of-environment", "PIXAZO_BASE_URL": "https://example.com"},
            {},
            {"api_key": "key-of-environment", "base_url": "https://example.com"},
        )


class TestUnitInSandbox(_InSandbox, ToolsUnitTests):
    """LangChain's unit tests, in the sandbox."""


@pytest.mark.vcr
@pytest.mark.default_cassette("document/success.yaml")
class TestIntegrationOnCassette(_WithKey, ToolsIntegrationTests):
    """LangChain's integration tests, each on the document's sample: one POST a test."""


class TestIntegrationInSandbox(_InSandbox, ToolsIntegrationTests):
    """LangChain's integration tests, in the sandbox."""
