"""Saved images over HTTP: an ASGI app that a web framework mounts, and that serves nothing else.

`paths` says which file a request names, `app` how it is answered.
"""

from langchain_qwen_image.serving.app import ImageApp, image_app

__all__ = ["ImageApp", "image_app"]
