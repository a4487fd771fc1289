"""Takes the place of the package of this name: no key, no network."""

from illustrator import Illustrator as ChatOpenAI

__all__ = ["ChatOpenAI"]
