"""Saved images over HTTP: an ASGI app that a web framework mounts, and that serves nothing else.

`requests` says which file is asked for, `saved` opens it, and `app` answers.
"""

from langchain_qwen_image.serving.app import ImageApp, image_app

__all__ = ["ImageApp", "image_app"]
