"""What would keep images from being saved in an object store."""

from collections.abc import Iterator

from langchain_qwen_image.checks.finding import Finding, Level
from langchain_qwen_image.errors import ConfigurationError
from langchain_qwen_image.storage.addresses import bucket_address
from langchain_qwen_image.storage.bucket import Bucket, BucketError


def bucket_problem(address: str) -> str | None:
    """Say why images cannot be saved at an address; None if they can.

    A small object is written there, unless it is there.
    """
    try:
        Bucket(bucket_address(address)).try_to_write()
    except ConfigurationError as error:
        return str(error)
    except BucketError as error:
        return f"Images cannot be saved in {address}: {error}."
    return None


def examine_bucket(given: str) -> Iterator[Finding]:
    """Yield what is found about an address; a small object is written there."""
    problem = bucket_problem(given)
    if problem is not None:
        yield Finding("Bucket", Level.BAD, problem)
        return
    yield Finding(
        "Bucket", Level.GOOD, f"{given} can be written, and no image can overwrite another."
    )
    yield Finding(
        "Account",
        Level.UNSURE,
        "An account cannot be in an object store: give account=… (--account) or set "
        "QWEN_IMAGE_DATABASE.",
    )
