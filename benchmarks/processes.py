"""What is measured in fresh processes: imports, memory in flight, and bulk runs with downloads."""

import asyncio
import gc
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import httpx

from benchmarks.clients import HEADERS, KEY, body, link_in
from benchmarks.gateway import OURS, Remote
from benchmarks.report import Bound, Table, quicker, spread

_IMPORTS = {
    "BaseTool and httpx": "from langchain_core.tools import BaseTool; import httpx",
    "QwenImageTool": "from langchain_qwen_image import QwenImageTool",
    "the package alone": "import langchain_qwen_image",
    "openai SDK": "import openai",
    "dashscope SDK": "import dashscope",
    "DALL·E tool": "import langchain_community.tools.openai_dalle_image_generation",
    "litellm": "import os; os.environ['LITELLM_LOCAL_MODEL_COST_MAP'] = '1'; import litellm",
}
_TIMED = "import time; started = time.process_time(); {}; print(time.process_time() - started)"


def imports(*, rounds: int, contestants: int | None = None) -> tuple[Table, list[Bound]]:
    """Time imports in processes that have loaded nothing yet; CPU time."""
    seconds: dict[str, list[float]] = {}
    notes = [
        (
            f"CPU time, {rounds} rounds of fresh processes; the ratio is to importing LangChain's "
            "`BaseTool` and httpx in the same round."
        )
    ]
    for _ in range(rounds):
        for name, statement in islice(_IMPORTS.items(), contestants):
            run = _python("-W", "ignore", "-c", _TIMED.format(statement))
            if run.returncode == 0:
                seconds.setdefault(name, []).append(float(run.stdout))
    notes += [f"Skipped: {name} (cannot be imported)." for name in _IMPORTS if name not in seconds]
    table = Table("Cold import", ("import", "CPU ms", "ratio min", "median", "max"), notes=notes)
    base = seconds["BaseTool and httpx"]
    medians = {}
    for name, found in seconds.items():
        ratios = [a / b for a, b in zip(found, base, strict=False)]
        medians[name] = statistics.median(ratios)
        table.rows.append((name, f"{statistics.median(found) * 1000:,.0f}", *spread(ratios)))
    return table, [
        Bound("importing `QwenImageTool` / `BaseTool` and httpx", 1.05, medians["QwenImageTool"]),
        Bound("`import langchain_qwen_image` / the same", 0.05, medians["the package alone"]),
    ]


def memory_in_flight(gateway: Remote, *, calls: int, latency: float) -> tuple[Table, list[Bound]]:
    """Measure what resident memory grows by while so many calls wait, for each."""
    found = _worker("memory", gateway, calls, latency=latency)["kilobytes"]
    table = Table(
        f"Memory of a call, {calls:,} in flight",
        ("client", "kB each"),
        [("QwenImageGenerator.abatch", f"{found:.0f}")],
        ["Rise of the process's resident memory, in a fresh process after five calls."],
    )
    return table, [Bound("kB of memory for a call in flight", 60, found)]


def cpu_by_flight(
    gateway: Remote,
    *,
    rounds: int,
    calls: int,
    few: int = 10,
    many: int = 400,
    contestants: int | None = None,
) -> tuple[Table, list[Bound]]:
    """Compare the CPU time of a call among few with that of one among many, as many calls each."""
    names = {
        "QwenImageGenerator": "cpu",
        "RunnableLambda, AsyncClients of 10": "cpu-by-hand",
    }
    table = Table(
        "CPU time of a call, by the calls in flight",
        ("client", f"µs, {few} in flight", f"µs, {many} in flight", "ratio min", "median", "max"),
        notes=[
            (
                f"{rounds} rounds of {calls:,} calls by so many workers, each in a fresh process "
                "with its connections open."
            )
        ],
    )
    found: dict[str, list[tuple[float, float]]] = {}
    for _ in range(rounds):
        for name, job in islice(names.items(), contestants):
            # The fewer there are, the quicker the answers: both runs take about as long.
            few_seconds, many_seconds = (
                _worker(job, gateway, calls, latency=0.2 * flight / many, flight=flight)["seconds"]
                for flight in (few, many)
            )
            found.setdefault(name, []).append((few_seconds, many_seconds))
    ratios = {name: [b / a for a, b in pairs] for name, pairs in found.items()}
    for name, pairs in found.items():
        medians = (statistics.median(figures) * 1e6 for figures in zip(*pairs, strict=True))
        figures = [f"{one:,.0f}" for one in medians]
        table.rows.append((name, *figures, *spread(ratios[name])))
    what = f"CPU per call, {many} in flight / {few} in flight"
    return table, [Bound(what, 1.2, statistics.median(ratios["QwenImageGenerator"]))]


def bulk(
    gateway: Remote, *, rounds: int, calls: int, latency: float, contestants: int | None = None
) -> Table:
    """Make images of 1.3 MB and write them to a folder, each client in a process of its own."""
    names = {
        "generate_many, checked, synced, booked": "bulk-ours",
        "AsyncClient and write_bytes": "bulk-async",
        "threads, Client and write_bytes": "bulk-threads",
    }
    table = Table(
        f"{calls} images of 1.3 MB, {latency * 1000:.0f} ms each, 32 at once",
        ("client", "images/s min", "median", "max", "peak MiB"),
        notes=[
            (
                "Ours checks each image's bytes, brings image and sidecar to the disk (fsync) "
                "and keeps an account that a kill leaves whole; the other two do none of that. At "
                "the 20 to 30 s that a real image takes, neither is what one waits for."
            )
        ],
    )
    found: dict[str, list[dict[str, float]]] = {}
    for _ in range(rounds):
        for name, job in islice(names.items(), contestants):
            found.setdefault(name, []).append(_worker(job, gateway, calls, latency=latency))
    for name, runs in found.items():
        speeds = spread((run["per_second"] for run in runs), 0)
        table.rows.append((name, *speeds, f"{statistics.median(r['peak'] for r in runs):,.0f}"))
    medians = {
        name: statistics.median(run["per_second"] for run in runs) for name, runs in found.items()
    }
    table.notes.append(quicker(medians, next(iter(names)), fewer_is_better=False))
    return table


def _worker(
    job: str, gateway: Remote, calls: int, *, latency: float, flight: int = 32
) -> dict[str, float]:
    gateway.set(latency=latency)
    told = (job, gateway.base_url, str(calls), str(flight))
    run = _python("-W", "ignore", "-m", "benchmarks.processes", *told)
    if run.returncode:
        raise RuntimeError(run.stderr)
    figures: dict[str, float] = json.loads(run.stdout)
    return figures


def _python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=300, check=False
    )


async def _memory(base_url: str, calls: int, flight: int, folder: Path) -> dict[str, float]:
    from langchain_qwen_image import QwenImageGenerator

    generator = QwenImageGenerator(api_key=KEY, base_url=base_url)
    await generator.abatch(["warm"] * 5)
    before = peak = _resident()
    task = asyncio.ensure_future(generator.abatch(["image"] * calls))
    while not task.done():
        await asyncio.sleep(0.05)
        peak = max(peak, _resident())
    return {"kilobytes": (peak - before) / calls / 1000}


async def _cpu(base_url: str, calls: int, flight: int, folder: Path) -> dict[str, float]:
    from langchain_qwen_image import QwenImageGenerator

    generator = QwenImageGenerator(api_key=KEY, base_url=base_url)
    return {"seconds": await _cpu_seconds(lambda _: generator.ainvoke("x"), calls, flight)}


async def _cpu_by_hand(base_url: str, calls: int, flight: int, folder: Path) -> dict[str, float]:
    from langchain_core.runnables import RunnableLambda

    context = httpx.create_ssl_context()
    limits = httpx.Limits(max_connections=10)
    clients = [
        httpx.AsyncClient(verify=context, timeout=60, limits=limits)
        for _ in range(max(1, flight // 10))
    ]

    async def post(worker: int) -> str:
        client = clients[worker % len(clients)]
        answer = await client.post(base_url + OURS, json=body("x"), headers=HEADERS)
        return link_in(answer.json())

    return {"seconds": await _cpu_seconds(RunnableLambda(post).ainvoke, calls, flight)}


async def _cpu_seconds(ask: Callable[[int], Awaitable[object]], calls: int, flight: int) -> float:
    await asyncio.gather(*(ask(worker) for worker in range(flight)))
    numbers = iter(range(calls))

    async def work(worker: int) -> None:
        for _ in numbers:
            await ask(worker)

    gc.collect()
    started = time.process_time()
    await asyncio.gather(*(work(worker) for worker in range(flight)))
    return (time.process_time() - started) / calls


async def _bulk_ours(base_url: str, calls: int, flight: int, folder: Path) -> dict[str, float]:
    from langchain_qwen_image import QwenImageGenerator

    generator = QwenImageGenerator(api_key=KEY, base_url=base_url, save_to=folder)
    requests = (f"image {number}" for number in range(calls))
    made = 0
    async for outcome in generator.generate_many(requests, concurrency=flight):
        made += outcome.is_there
    return {"made": made}


def _kept(flight: int) -> httpx.Limits:
    """Keep all connections: one that httpcore's pool closes, another thread may just be reading."""
    return httpx.Limits(max_connections=flight, max_keepalive_connections=flight)


async def _bulk_async(base_url: str, calls: int, flight: int, folder: Path) -> dict[str, float]:
    limit = asyncio.Semaphore(flight)
    async with httpx.AsyncClient(timeout=60, limits=_kept(flight)) as client:

        async def make(number: int) -> None:
            async with limit:
                answer = await client.post(base_url + OURS, json=body("x"), headers=HEADERS)
                image = await client.get(link_in(answer.json()))
                (folder / f"{number}.png").write_bytes(image.content)

        await asyncio.gather(*(make(number) for number in range(calls)))
    return {"made": calls}


async def _bulk_threads(base_url: str, calls: int, flight: int, folder: Path) -> dict[str, float]:
    client = httpx.Client(timeout=60, limits=_kept(flight))
    with client, ThreadPoolExecutor(flight) as pool:

        def make(number: int) -> None:
            answer = client.post(base_url + OURS, json=body("x"), headers=HEADERS)
            image = client.get(link_in(answer.json()))
            (folder / f"{number}.png").write_bytes(image.content)

        list(pool.map(make, range(calls)))
    return {"made": calls}


_JOBS: dict[str, Callable[[str, int, int, Path], Awaitable[dict[str, float]]]] = {
    "memory": _memory,
    "cpu": _cpu,
    "cpu-by-hand": _cpu_by_hand,
    "bulk-ours": _bulk_ours,
    "bulk-async": _bulk_async,
    "bulk-threads": _bulk_threads,
}


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def _peak() -> float:
    """Return the process's highest resident memory, in MiB; getrusage would count its parent's."""
    facts = Path("/proc/self/status").read_text()
    return int(facts.partition("VmHWM:")[2].split()[0]) / 1024


async def _measure(job: str, base_url: str, calls: int, flight: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        figures = await _JOBS[job](base_url, calls, flight, Path(folder))
        seconds = time.perf_counter() - started
    if figures.get("made", calls) != calls:
        raise RuntimeError(f"{figures['made']} of {calls} images were made")
    return {**figures, "per_second": calls / seconds, "peak": _peak()}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_measure(*sys.argv[1:3], *map(int, sys.argv[3:])))))
