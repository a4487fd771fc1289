"""What LangChain asks of a tool and a runnable. It knows nothing of HTTP or files."""
