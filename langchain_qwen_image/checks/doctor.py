"""Look at the machine as closely as a person wants who asks why it does not work."""

import os
import platform
import sqlite3
import ssl
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import urlsplit

from langchain_qwen_image._version import __version__
from langchain_qwen_image.account.schema import sqlite_problem
from langchain_qwen_image.checks.bucket import examine_bucket
from langchain_qwen_image.checks.disk import examine_folder
from langchain_qwen_image.checks.finding import Finding, Level
from langchain_qwen_image.checks.network import network_problem
from langchain_qwen_image.checks.reach import UnreachableError, has_fake_address, reach
from langchain_qwen_image.defaults import BASE_URL_VARIABLE
from langchain_qwen_image.environment import (
    api_key_source,
    base_url_from_environment,
    checked_base_url,
    is_loopback,
    usable_key,
)
from langchain_qwen_image.errors import ConfigurationError
from langchain_qwen_image.storage.addresses import is_bucket_address
from langchain_qwen_image.transport.proxies import proxy_for
from langchain_qwen_image.transport.tls import no_tls_context, tls_context

_IMAGE_HOST = "https://oss-cn-beijing.aliyuncs.com"
"""One of the upstream's storage hosts. Links have come from others: it says little for certain."""
_CLOCK_SECONDS = 300.0


def examine(*, place: str | None = None, sandbox: bool = False) -> Iterator[Finding]:
    """Yield what is found, one thing after the other; some need seconds for the network.

    Nothing is paid for, and the key is neither sent nor shown.

    Args:
        place: Where images are to be saved: a folder, in which a file is written and removed, or an
            address of an object store.
        sandbox: Look at what the sandbox needs only: no key, no network.
    """
    for finding in _findings(place, sandbox=sandbox):
        # Errors of calls have the same words, and say so of the call.
        text = finding.text.replace("; nothing was sent", "").replace(" Nothing was sent.", "")
        yield replace(finding, text=text)


def _findings(place: str | None, *, sandbox: bool) -> Iterator[Finding]:
    yield Finding(
        "Versions",
        Level.GOOD,
        f"langchain-qwen-image {__version__}, Python {platform.python_version()}, "
        f"{platform.system()} {platform.machine()}",
    )
    if sandbox:
        yield Finding("Key", Level.GOOD, "The sandbox needs none.")
    else:
        yield _key()
        yield from _gateway()
    yield _sqlite(needed=place is not None)
    if is_bucket_address(place):
        yield from examine_bucket(os.fspath(place))
    elif place is not None:
        yield from examine_folder(Path(place))
    yield from _drawing()


def _key() -> Finding:
    try:
        usable_key(None)
        source = api_key_source()
    except ConfigurationError as error:
        return Finding("Key", Level.BAD, str(error))
    source = api_key_source()
    return Finding(
        "Key", Level.GOOD, f"Found in {source}. Only a paid request shows if it is valid."
    )


def _gateway() -> Iterator[Finding]:
    source = BASE_URL_VARIABLE if os.environ.get(BASE_URL_VARIABLE, "").strip() else "the default"
    try:
        base_url = checked_base_url(base_url_from_environment())
    except ConfigurationError as error:
        yield Finding("Address", Level.BAD, str(error))
        return
    yield Finding("Address", Level.GOOD, f"{base_url} ({source})")
    problem = network_problem(base_url)
    if problem is not None:
        yield Finding("Network", Level.BAD, problem)
        return
    is_secure = base_url.startswith("https:")
    context = tls_context() if is_secure else no_tls_context()
    if is_secure:
        yield _certificates(context)
    yield from _way_to_gateway(base_url, context)
    if not is_loopback(base_url):
        yield _images(context)


def _certificates(context: ssl.SSLContext) -> Finding:
    named = (name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name))
    source = next(named, "the ones that come with httpx")
    count = context.cert_store_stats()["x509_ca"]
    # Certificates of a folder are read one by one as they are needed.
    return Finding("Certificates", Level.GOOD, f"{source}{f', {count} in all' * (count > 0)}")


def _way_to_gateway(base_url: str, context: ssl.SSLContext) -> Iterator[Finding]:
    proxy = proxy_for(base_url)
    if proxy is None:
        yield Finding("Proxy", Level.GOOD, "None for the gateway.")
    else:
        # Without user and password.
        yield Finding("Proxy", Level.GOOD, f"{proxy.rpartition('@')[2]} for the gateway.")
    try:
        reached = reach(base_url, context=context, proxy=proxy)
    except UnreachableError as error:
        yield Finding("Gateway", Level.BAD, f"It could not be reached: {error}.")
        return
    yield Finding("Gateway", Level.GOOD, f"It answered in {reached.seconds:.1f} s.")
    yield _clock(reached.clock_ahead_seconds)
    host = urlsplit(base_url).hostname or ""
    if proxy is None and has_fake_address(host):
        yield Finding(
            "DNS",
            Level.UNSURE,
            "Host names resolve to addresses of a fake-IP resolver, such as Clash, sing-box or "
            "Surge. Images can be downloaded as long as the gateway's name resolves to one too.",
        )


def _clock(ahead_seconds: float | None) -> Finding:
    say = partial(Finding, "Clock")
    if ahead_seconds is None:
        return say(Level.UNSURE, "The gateway's response has no date to compare it with.")
    if abs(ahead_seconds) < _CLOCK_SECONDS:
        return say(Level.GOOD, f"It is correct to within {max(abs(ahead_seconds), 1):.0f} s.")
    minutes = round(abs(ahead_seconds) / 60)
    way = "ahead of" if ahead_seconds > 0 else "behind"
    return say(
        Level.UNSURE,
        f"It is {minutes} min {way} the gateway's clock. With a wrong clock, a valid link can "
        "look expired. Set the clock.",
    )


def _images(context: ssl.SSLContext) -> Finding:
    host = urlsplit(_IMAGE_HOST).hostname
    try:
        reach(_IMAGE_HOST, context=context, proxy=proxy_for(_IMAGE_HOST))
    except (UnreachableError, ValueError) as error:  # ValueError: a proxy that cannot be used
        reason = str(error).rstrip(".")
        return Finding(
            "Images",
            Level.UNSURE,
            f"{host}, a host that images may come from, could not be reached: {reason}.",
        )
    return Finding("Images", Level.GOOD, f"{host}, a host that images may come from, answers.")


def _sqlite(*, needed: bool) -> Finding:
    problem = sqlite_problem()
    if problem is None:
        return Finding(
            "SQLite", Level.GOOD, f"{sqlite3.sqlite_version} is new enough for an account."
        )
    return Finding("SQLite", Level.BAD if needed else Level.UNSURE, problem)


def _drawing() -> Iterator[Finding]:
    try:
        from langchain_qwen_image.sandbox.lettering import chinese_font

        yield Finding("Pillow", Level.GOOD, version("pillow"))
    except (ImportError, PackageNotFoundError):
        yield Finding(
            "Pillow",
            Level.UNSURE,
            "It is not installed: the sandbox's images are plain, view_image and the gallery do "
            "not work. pip install 'langchain-qwen-image[sandbox]'",
        )
        return
    font = chinese_font()
    if font:
        yield Finding("Fonts", Level.GOOD, f"{Path(font).name} shows Chinese in the sandbox.")
    else:
        yield Finding(
            "Fonts",
            Level.UNSURE,
            "No font with Chinese characters was found: the sandbox writes a note such as [3 "
            "Chinese characters] in their place. Generated images need no font.",
        )
