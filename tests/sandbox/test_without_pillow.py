"""The base install has no Pillow: the sandbox says what to install, and no call fails over it."""

import sys

import pytest
from conftest import Call

from langchain_qwen_image import QwenImageGenerator
from langchain_qwen_image.errors import ConfigurationError


@pytest.fixture(autouse=True)
def _no_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let importing Pillow fail, also where it was imported before."""
    for name in list(sys.modules):
        if name.split(".")[0] == "PIL" or name == "langchain_qwen_image.sandbox.drawing":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "PIL", None)


def test_sandbox_says_what_to_install(call: Call) -> None:
    """A call succeeds; drawing its image is a configuration error that names the extra."""
    image = call(QwenImageGenerator(sandbox=True), "invoke", "a fox").image
    with pytest.raises(ConfigurationError, match=r"langchain-qwen-image\[sandbox\]"):
        call(image, "read")
