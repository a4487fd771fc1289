"""Addresses of buckets: which are understood, in which spelling, and what is refused."""

from pathlib import Path

import pytest

from langchain_qwen_image import QwenImageGenerator, QwenImageTool, QwenImageToolkit
from langchain_qwen_image.errors import ConfigurationError
from langchain_qwen_image.storage.addresses import is_bucket_address, parent_of
from langchain_qwen_image.storage.opening import ObjectStore, open_store
from langchain_qwen_image.view import ViewImageTool

FACES = (QwenImageGenerator, QwenImageTool, QwenImageToolkit)
ABFSS = "abfss://images@account.dfs.core.windows.net"


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/", "s3://bucket"),
        ("s3://bucket/a/b//", "s3://bucket/a/b"),
        ("S3://Bucket/A", "s3://Bucket/A"),
        ("s3a://bucket/x", "s3://bucket/x"),
        ("gs://bucket.example.com/x", "gs://bucket.example.com/x"),
        ("az://container/x", "az://container/x"),
        ("azure://container/x", "az://container/x"),
        (f"{ABFSS}/x", f"{ABFSS}/x"),
        ("s3://bucket/шоп/with space/user@example.com", None),
        (" s3://bucket/x\n", "s3://bucket/x"),
        (Path("s3://bucket/x"), "s3://bucket/x"),
        (Path(f"{ABFSS}/x"), f"{ABFSS}/x"),
    ],
)
def test_addresses_of_buckets_are_understood(given: str | Path, address: str | None) -> None:
    """Each is a store in one spelling, on every face, also after `Path` took one of its slashes."""
    address = str(given) if address is None else address
    store = open_store(given)
    assert isinstance(store, ObjectStore)
    assert (store.address, store.folder) == (address, None)
    assert [face(sandbox=True, save_to=given).save_to for face in FACES] == [address] * 3
    assert ViewImageTool(save_to=given).save_to == address
    assert parent_of(f"{address}/a.png") == address
    assert [store.key_of(one) for one in (f"{address}/a.png", "a.png", "s3://other/a.png")] == [
        *["a.png"] * 2,
        None,
    ]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("s3://", "names no bucket"),
        ("s3:///x", None),
        ("gs://-b/x", "names no bucket"),
        ("s3://b/a//b", "part of its path is empty"),
        ("s3://b/../c", "part of its path is empty"),
        ("s3:\\\\b\\x", "backslash"),
        ("s3://b/a\0b", "cannot be seen"),
        ("s3://b/a\nb", "cannot be seen"),
        ("s3://AKIDX:hush-hush@b/x", "a user or a password"),
        ("gs://hush-hush@b/x", "a user or a password"),
        ("az://c/x?sv=2024&sig=hush-hush", "a query"),
        ("s3://b/x?X-Amz-Signature=hush-hush", "a query"),
        ("s3://b/x#hush-hush", "a query or a fragment"),
        ("abfss://account.dfs.core.windows.net/x", "names no container@account"),
    ],
)
def test_others_are_refused_and_not_shown(given: str, problem: str | None) -> None:
    """What cannot be an address of a bucket is refused when it is set; no secret is repeated."""
    assert is_bucket_address(given)
    if problem is None:  # the slashes of `Path` are made good
        assert open_store(given).address == "s3://x"
        return
    for make in (open_store, lambda one: QwenImageGenerator(sandbox=True, save_to=one)):
        with pytest.raises(ConfigurationError, match=problem) as raised:
            make(given)
        assert "hush" not in str(raised.value)
        assert "AKIDX" not in str(raised.value)
        assert "://bucket/prefix" in str(raised.value) or "://container@" in str(raised.value)
