"""Models that are built at first use, in one thread."""

import os
import threading
from typing import Any

from pydantic import BaseModel, ConfigDict

building = threading.RLock()
"""Held while a model is built. pydantic holds one too, so a fork waits (concurrency/forks.py)."""


def _after_fork_in_child() -> None:
    """Replace a lock that another thread of the parent may have held."""
    global building
    building = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


class LazyModel(BaseModel):
    """A model that costs an import nothing: it is built when it is first used, in one thread.

    Where several threads build a model at once, pydantic below 2.14 lends one of them the parent's
    validator, and an answer that is paid for would be read as something else.
    """

    model_config = ConfigDict(defer_build=True)

    @classmethod
    def model_rebuild(cls, **how: Any) -> bool | None:
        """Build the model as pydantic does, while no other thread builds one."""
        with building:
            return super().model_rebuild(**how)
