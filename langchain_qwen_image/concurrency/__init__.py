"""One decision for blocking code and asyncio: threads, processes, and how the twins run.

It knows nothing of images.
"""
