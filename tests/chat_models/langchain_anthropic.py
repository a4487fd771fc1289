"""Takes the place of the package of this name: no key, no network."""

from illustrator import Illustrator as ChatAnthropic

__all__ = ["ChatAnthropic"]
