"""What the system says when an image cannot be written, in words for the one who paid for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from langchain_qwen_image.errors import SaveError


@contextmanager
def saving_into(folder: Path) -> Iterator[None]:
    """Turn an `OSError` into a `SaveError` that names the folder, and no hidden `.part`.

    Raises:
        SaveError: The disk is full, or the folder cannot be written.
    """
    try:
        yield
    except SaveError:
        raise
    except OSError as error:
        problem = with_cause(
            SaveError(
                f"The image is paid for, but could not be saved in {folder}: "
                f"{error.strerror or error}."
            ),
            error,
        )
    else:
        return
    raise problem


def with_cause(problem: SaveError, error: OSError) -> SaveError:
    """Give a problem the system's number and words."""
    problem.errno, problem.strerror = error.errno, error.strerror
    return problem
