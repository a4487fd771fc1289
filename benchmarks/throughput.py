"""Many calls at once: calls a second, and the CPU time of each."""

import asyncio
import gc
import statistics
import time
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

import httpx
from langchain_core.runnables import RunnableLambda

from benchmarks.clients import HEADERS, KEY, body, link_in
from benchmarks.gateway import OURS, Remote
from benchmarks.report import Bound, Table, quicker, spread
from langchain_qwen_image import QwenImageGenerator

Run = Callable[[list[str]], Awaitable[Any]]

_WIDTHS = (1, 5, 10, 20)


def at_once(
    gateway: Remote, *, rounds: int, calls: int, latency: float
) -> tuple[Table, list[Bound]]:
    """Ask for all images at once; the ratio is to the naive `RunnableLambda`."""
    url = gateway.base_url + OURS
    contestants: dict[str, Callable[[], Awaitable[float]]] = {
        "QwenImageGenerator.abatch": lambda: _ours(gateway, calls),
        "RunnableLambda, one AsyncClient": lambda: _by_hand(url, calls, calls, langchain=True),
        **{
            f"RunnableLambda, AsyncClients of {width}": _hand_made(url, calls, width)
            for width in _WIDTHS
        },
        "no LangChain, AsyncClients of 5": lambda: _by_hand(url, calls, 5, langchain=False),
    }
    notes = []
    try:
        import aiohttp  # noqa: F401
    except ImportError:
        notes.append("Skipped: aiohttp (not installed).")
    else:
        contestants["RunnableLambda, aiohttp"] = lambda: _aiohttp(url, calls, langchain=True)
        contestants["no LangChain, aiohttp"] = lambda: _aiohttp(url, calls, langchain=False)
    try:
        import httpx_aiohttp  # noqa: F401
    except ImportError:
        notes.append("Skipped: httpx-aiohttp (not installed).")
    else:
        contestants["RunnableLambda, httpx-aiohttp"] = lambda: _httpx_aiohttp(url, calls)

    speeds: dict[str, list[float]] = {name: [] for name in contestants}
    connections = []
    for _ in range(rounds):
        for name, contestant in contestants.items():
            gateway.set(latency=latency)
            gc.collect()
            speeds[name].append(calls / asyncio.run(_settled(contestant)))
            if name == "QwenImageGenerator.abatch":
                counts = gateway.counts()
                connections.append(counts["accepts"] / max(counts["most_at_once"], 1))
    table = _ratio_table(
        f"{calls:,} calls at once, {latency * 1000:.0f} ms each", speeds, notes, rounds
    )
    ours, naive = (speeds[name] for name in list(speeds)[:2])
    hand = [speeds[f"RunnableLambda, AsyncClients of {width}"] for width in _WIDTHS]
    best = max(hand, key=statistics.median)
    bounds = [
        Bound(
            f"`abatch` of {calls:,} / naive `RunnableLambda`, calls/s",
            None,
            _median_ratio(ours, naive),
            at_least=8,
        ),
        Bound(
            "the same / the best httpx by hand, in LangChain",
            None,
            _median_ratio(ours, best),
            at_least=0.85,
        ),
        Bound("connections opened / most calls in flight", 1.0, max(connections)),
    ]
    return table, bounds


def blocking(gateway: Remote, *, calls: int, latency: float) -> Table:
    """Ask for images in a blocking batch, without tuning."""
    gateway.set(latency=latency)
    generator = QwenImageGenerator(api_key=KEY, base_url=gateway.base_url)
    prompts = [f"image {number}" for number in range(calls)]
    client = httpx.Client(timeout=60, limits=httpx.Limits(max_connections=calls))

    def post(prompt: str) -> str:
        answer = client.post(gateway.base_url + OURS, json=body(prompt), headers=HEADERS)
        return link_in(answer.json())

    table = Table(
        f"A blocking batch of {calls}, {latency * 1000:.0f} ms each",
        ("client", "calls/s"),
        notes=["Without `max_concurrency`; the second of two runs."],
    )
    for name, runnable in {
        "QwenImageGenerator.batch": generator,
        "RunnableLambda.batch": RunnableLambda(post),
    }.items():
        runnable.batch(prompts)
        started = time.perf_counter()
        runnable.batch(prompts)
        table.rows.append((name, f"{calls / (time.perf_counter() - started):,.0f}"))
    return table


async def _settled(contestant: Callable[[], Awaitable[float]]) -> float:
    return await contestant()


async def _ours(gateway: Remote, calls: int) -> float:
    generator = QwenImageGenerator(api_key=KEY, base_url=gateway.base_url)
    seconds = await _timed(generator.abatch, calls)
    await generator.aclose()
    return seconds


def _hand_made(url: str, calls: int, width: int) -> Callable[[], Awaitable[float]]:
    return lambda: _by_hand(url, calls, width, langchain=True)


async def _by_hand(url: str, calls: int, width: int, *, langchain: bool) -> float:
    """Spread the calls over clients of so many connections each, which share a TLS context."""
    context = httpx.create_ssl_context()
    limits = httpx.Limits(max_connections=width, max_keepalive_connections=width)
    clients = [
        httpx.AsyncClient(verify=context, timeout=60, limits=limits)
        for _ in range(max(1, calls // width))
    ]
    numbers = count()

    async def post(prompt: str) -> str:
        client = clients[next(numbers) % len(clients)]
        answer = await client.post(url, json=body(prompt), headers=HEADERS)
        return link_in(answer.json())

    seconds = await _timed(RunnableLambda(post).abatch if langchain else _gather(post), calls)
    for client in clients:
        await client.aclose()
    return seconds


async def _aiohttp(url: str, calls: int, *, langchain: bool) -> float:
    import aiohttp

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def post(prompt: str) -> str:
            async with session.post(url, json=body(prompt), headers=HEADERS) as answer:
                return link_in(await answer.json())

        return await _timed(RunnableLambda(post).abatch if langchain else _gather(post), calls)


async def _httpx_aiohttp(url: str, calls: int) -> float:
    import httpx_aiohttp

    limits = httpx.Limits(max_connections=calls)
    async with httpx_aiohttp.HttpxAiohttpClient(timeout=60, limits=limits) as client:

        async def post(prompt: str) -> str:
            answer = await client.post(url, json=body(prompt), headers=HEADERS)
            return link_in(answer.json())

        return await _timed(RunnableLambda(post).abatch, calls)


def _gather(post: Callable[[str], Awaitable[str]]) -> Run:
    async def run(prompts: list[str]) -> list[str]:
        return await asyncio.gather(*(post(prompt) for prompt in prompts))

    return run


async def _timed(run: Run, calls: int) -> float:
    prompts = [f"image {number}" for number in range(calls)]
    started = time.perf_counter()
    await run(prompts)
    return time.perf_counter() - started


def _median_ratio(ours: list[float], theirs: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def _ratio_table(
    title: str, speeds: dict[str, list[float]], notes: list[str], rounds: int
) -> Table:
    table = Table(title, ("client", "calls/s", "ratio min", "median", "max"), notes=notes)
    base = list(speeds.values())[1]
    for name, found in speeds.items():
        ratios = [a / b for a, b in zip(found, base, strict=True)]
        table.rows.append((name, f"{statistics.median(found):,.0f}", *spread(ratios)))
    table.notes.insert(
        0,
        "Connections are opened within the time. The ratio is to one `AsyncClient` with its limits "
        f'raised, in the same round; {rounds} rounds. "AsyncClients of 5": so many that each has '
        "five connections, with one TLS context.",
    )
    medians = {name: statistics.median(found) for name, found in speeds.items()}
    table.notes.append(quicker(medians, "QwenImageGenerator.abatch", fewer_is_better=False))
    return table
