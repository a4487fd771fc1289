"""The wire, pure: what is sent, what an answer means, and when a request may be repeated.

Nothing here imports an HTTP library, looks at a clock or reads the environment.
"""
