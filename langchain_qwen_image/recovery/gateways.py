"""What fetches images and asks for queued ones; only the gateway that is configured is asked."""

import os
import threading
from urllib.parse import urlsplit

from langchain_core.stores import ByteStore

from langchain_qwen_image.account.account import Account
from langchain_qwen_image.account.records import CallRecord, ImageRecord
from langchain_qwen_image.defaults import SANDBOX_URL
from langchain_qwen_image.environment import (
    base_url_from_environment,
    checked_base_url,
    is_loopback,
)
from langchain_qwen_image.errors import ConfigurationError
from langchain_qwen_image.pipeline.results import recorded_result
from langchain_qwen_image.pipeline.saver import ImageSaver
from langchain_qwen_image.result import ImageGenerationResult
from langchain_qwen_image.settings import QwenImageSettings
from langchain_qwen_image.storage.opening import open_store
from langchain_qwen_image.storage.reader import make_fetcher

# A call that has no image by then is asked for at the next time.
_ASK_SECONDS = 30.0


class Gateways:
    """Fetches links and asks for queued calls; no POST is ever sent.

    An account may have been prepared by somebody else. So a gateway that only the account names is
    not asked, and gets no key; and a link leads to this machine only at the port of the configured
    gateway, if that is on this machine.

    Attributes:
        base_url: The configured gateway.
    """

    def __init__(
        self,
        account: Account,
        save_to: str | os.PathLike[str] | ByteStore | None,
        base_url: str | None = None,
    ) -> None:
        """Take the account, where images are saved, and the gateway; nothing is opened."""
        self.base_url = checked_base_url(base_url or base_url_from_environment())
        self._account = account
        self._save_to = save_to
        self._savers: dict[bool, ImageSaver] = {}
        self._settings: dict[bool, QwenImageSettings] = {}
        self._lock = threading.Lock()

    def fetch(self, call: CallRecord, image: ImageRecord) -> str | None:
        """Fetch and save an image with all that the account knows of it, and return its path.

        Raises:
            DownloadError: It could not be fetched, or its link was not safe to fetch.
            OSError: It could not be saved.
        """
        result = recorded_result(call, [image])
        made = result.image
        self._saver(is_sandbox=call.base_url == SANDBOX_URL).save_or_raise(made, result)
        path, sha256, size = made.path, made.sha256, made.size_bytes
        if path is not None and sha256 is not None and size is not None:
            saved = self._account.saved(image.id, path=path, sha256=sha256, size_bytes=size)
            saved.result()
        return path

    def resume(self, call: CallRecord) -> ImageGenerationResult | None:
        """Ask for a queued call once more, or some times.

        Raises:
            ConfigurationError: It was queued at another gateway than the configured one.
        """
        if call.base_url not in (self.base_url, SANDBOX_URL):
            raise ConfigurationError(
                f"It was queued at {call.base_url:.80}, and only the configured gateway is asked. "
                "Set PIXAZO_BASE_URL to that address if you trust it."
            )
        return self._of(is_sandbox=call.base_url == SANDBOX_URL).pipeline.resume(call)

    def close(self) -> None:
        """Close the connections."""
        for saver in self._savers.values():
            saver.close()
        for settings in self._settings.values():
            settings.close()

    def _saver(self, *, is_sandbox: bool) -> ImageSaver:
        with self._lock:
            if is_sandbox not in self._savers:
                fetcher = make_fetcher(
                    sandbox=is_sandbox,
                    allow_loopback=is_loopback(self.base_url),
                    loopback_port=_port(self.base_url),
                    gateway=self.base_url,
                )
                store = None if self._save_to is None else open_store(self._save_to)
                self._savers[is_sandbox] = ImageSaver(fetcher, store, self._account)
            return self._savers[is_sandbox]

    def _of(self, *, is_sandbox: bool) -> QwenImageSettings:
        with self._lock:
            if is_sandbox not in self._settings:
                self._settings[is_sandbox] = QwenImageSettings(
                    base_url=SANDBOX_URL if is_sandbox else self.base_url,
                    sandbox=is_sandbox,
                    save_to=self._save_to,
                    account=self._account,
                    timeout=_ASK_SECONDS,
                )
            return self._settings[is_sandbox]


def _port(base_url: str) -> int:
    parts = urlsplit(base_url)
    return parts.port or (443 if parts.scheme == "https" else 80)
