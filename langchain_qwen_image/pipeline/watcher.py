"""Who looks on at the attempts of one call: its books, and the progress that is told."""

from langchain_qwen_image.concurrency.script import Script
from langchain_qwen_image.errors import QwenImageError


class Watcher:
    """Looks on at the attempts of one call; this one does nothing."""

    def before_post(self) -> Script[None]:
        """Do what must be done before each POST leaves; raising keeps it from leaving."""
        return
        yield

    def before_wait(self, error: QwenImageError, seconds: float) -> Script[None]:
        """Do what must be done when a POST bought nothing and is to be repeated."""
        return
        yield
