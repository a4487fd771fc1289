"""Puts a pipeline together from settings."""

import logging
from functools import partial
from typing import Any, Literal, Protocol

from langchain_core.rate_limiters import BaseRateLimiter
from pydantic import SecretStr

from langchain_qwen_image.account.budget import Budget
from langchain_qwen_image.account.chosen import Location, account_of
from langchain_qwen_image.account.pace import Pace
from langchain_qwen_image.account.paces import Paces
from langchain_qwen_image.checks.preflight import preflight
from langchain_qwen_image.concurrency.process import OncePerProcess
from langchain_qwen_image.concurrency.runtime import Runtime
from langchain_qwen_image.defaults import DATABASE_VARIABLE
from langchain_qwen_image.pipeline.pipeline import Pipeline
from langchain_qwen_image.pipeline.saver import ImageSaver
from langchain_qwen_image.pipeline.sender import Sender
from langchain_qwen_image.storage.folder import has_paid_images
from langchain_qwen_image.storage.opening import SaveTo, folder_of, open_store
from langchain_qwen_image.storage.public_url import Addresses, PublicUrlSetting
from langchain_qwen_image.storage.reader import make_fetcher
from langchain_qwen_image.transport.gateway import GatewayConnection

logger = logging.getLogger("langchain_qwen_image")


class PipelineSettings(Protocol):
    """What a pipeline is made from; `QwenImageSettings` describes each of them."""

    api_key: SecretStr | None
    base_url: str
    sandbox: bool
    timeout: float
    max_retries: int
    price_usd: float
    save_to: SaveTo | None
    public_url: PublicUrlSetting
    max_image_bytes: int
    account: Location | None
    budget: Budget | None
    rate_limiter: BaseRateLimiter | None
    pace: Pace | Literal[False] | None
    http_client: Any
    http_async_client: Any
    progress_seconds: float | None


def assemble(settings: PipelineSettings) -> Pipeline:
    """Put the pipeline together; nothing is opened before its first call.

    Raises:
        ConfigurationError: A setting cannot work.
    """
    sender = Sender(
        api_key=settings.api_key,
        base_url=settings.base_url,
        sandbox=settings.sandbox,
        timeout=settings.timeout,
        max_retries=settings.max_retries,
        price_usd=settings.price_usd,
        connection=GatewayConnection(
            sandbox=settings.sandbox,
            http_client=settings.http_client,
            http_async_client=settings.http_async_client,
            max_image_bytes=settings.max_image_bytes,
        ),
    )
    fetcher = make_fetcher(
        sandbox=settings.sandbox,
        allow_loopback=sender.is_local,
        gateway=sender.base_url,
        clients=(settings.http_client, settings.http_async_client),
        max_image_bytes=settings.max_image_bytes,
    )
    store = None if settings.save_to is None else open_store(settings.save_to)
    public_url = settings.public_url
    addresses = None if store is None or public_url is None else Addresses(store, public_url)
    account, belonging = account_of(
        settings.account,
        folder_of(store),
        sandbox=settings.sandbox,
        budget=settings.budget,
        has_paid_images=has_paid_images,
        is_served=public_url is not None,
    )
    if account is None and store is not None and store.address is not None:
        _warn_of_no_account(store.address)
    return Pipeline(
        sender=sender,
        saver=ImageSaver(fetcher, store, account, addresses),
        saves=store is not None,
        account=account,
        belonging=belonging,
        budget=settings.budget,
        rate_limiter=settings.rate_limiter,
        paces=Paces(settings.pace, None if account is None else account.store),
        preflight=OncePerProcess(
            partial(
                preflight,
                folder=folder_of(store),
                account=None if account is None else account.path,
                sandbox=settings.sandbox,
                own_http_client=bool(settings.http_client or settings.http_async_client),
                base_url=sender.base_url,
                address=None if store is None else store.address,
            )
        ),
        max_raw_bytes=settings.max_image_bytes * 4 // 3,
        progress_seconds=settings.progress_seconds,
    )


def _warn_of_no_account(address: str) -> None:
    logger.warning(
        "Images are saved in %s, and there is no account: calls are not recorded, so that a crash "
        "can lose an image that is paid for. Set account=… or %s.",
        address,
        DATABASE_VARIABLE,
    )


def assemble_bare(
    sender: Sender,
    account: Location | None,
    pace: Pace | Literal[False] | None,
    clients: tuple[Any, Any],
    blocking: Runtime,
    asyncio: Runtime,
) -> Pipeline:
    """Put a pipeline together that saves nothing, around a sender; nothing is opened.

    Raises:
        ConfigurationError: The account cannot be one.
    """
    books, belonging = account_of(account, None, sandbox=sender.sandbox)
    fetcher = make_fetcher(
        sandbox=sender.sandbox,
        allow_loopback=sender.is_local,
        gateway=sender.base_url,
        clients=clients,
    )
    return Pipeline(
        sender,
        ImageSaver(fetcher),
        account=books,
        belonging=belonging,
        paces=Paces(pace, None if books is None else books.store),
        blocking=blocking,
        asyncio=asyncio,
    )
