"""What was found out about the machine."""

from dataclasses import dataclass
from enum import Enum


class Level(Enum):
    """How bad a finding is; the value is the word that a person reads."""

    GOOD = "ok"
    UNSURE = "unsure"
    BAD = "fails"


@dataclass(frozen=True, slots=True)
class Finding:
    """Say of one thing how it is, and what to do where it is not well."""

    topic: str
    level: Level
    text: str
