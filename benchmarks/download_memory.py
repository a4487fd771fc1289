"""Measure the memory that fetching many large images at once to disk takes; loopback only.

    python benchmarks/download_memory.py --images 64 --megabytes 20

The host runs in a process of its own. Printed are the rise of the peak memory of the fetching
process, in MiB, and the seconds taken.
"""

import argparse
import asyncio
import multiprocessing
import resource
import socket
import sys
import tempfile
import threading
import time
import zlib
from datetime import UTC, datetime
from functools import partial
from multiprocessing.connection import Connection

from langchain_qwen_image.concurrency.threads import in_thread
from langchain_qwen_image.download.fetcher import Fetcher
from langchain_qwen_image.storage.opening import open_store
from langchain_qwen_image.storage.sidecar import Sidecar

MIB = 1 << 20


def chunk(kind: bytes, body: bytes) -> bytes:
    """Return a PNG chunk with its checksum."""
    return len(body).to_bytes(4) + kind + body + zlib.crc32(kind + body).to_bytes(4)


def answer(megabytes: int) -> bytes:
    """Return an HTTP answer with a PNG of the given size."""
    header = (1328).to_bytes(4) * 2 + b"\x08\x02\x00\x00\x00"
    pixels = chunk(b"IDAT", bytes(MIB)) * megabytes
    body = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


def serve(pipe: Connection, megabytes: int) -> None:
    """Answer every connection with one image."""
    whole = answer(megabytes)

    def send(connection: socket.socket) -> None:
        with connection:
            connection.recv(65_536)
            connection.sendall(whole)

    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        pipe.send(listener.getsockname()[1])
        while True:
            threading.Thread(target=send, args=(listener.accept()[0],), daemon=True).start()


async def keep_all(url: str, images: int, folder: str) -> None:
    """Ask for all images at once and keep each with its sidecar."""
    store, fetcher = open_store(folder), Fetcher(allow_loopback=True)
    now = datetime.now(UTC)
    await asyncio.gather(
        *(
            in_thread(
                store.save,
                partial(fetcher.fetch, url),
                Sidecar(image_id=f"image{number}", prompt="a red fox", created_at=now),
            )
            for number in range(images)
        )
    )


def peak() -> float:
    """Return the peak memory of this process in MiB."""
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / MIB


def main() -> None:
    """Run the measurement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--megabytes", type=int, default=20)
    asked = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    host = context.Process(target=serve, args=(theirs, asked.megabytes), daemon=True)
    host.start()
    url = f"http://127.0.0.1:{ours.recv()}/a.png"
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(keep_all(url, 1, folder))
        before, started = peak(), time.perf_counter()
        asyncio.run(keep_all(url, asked.images, folder))
        print(f"{peak() - before:.1f} MiB, {time.perf_counter() - started:.1f} s")
    host.terminate()
    host.join()


if __name__ == "__main__":
    main()
