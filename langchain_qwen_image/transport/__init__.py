"""One POST over httpx: connections, deadlines, and what became of it.

It decides nothing about money.
"""
