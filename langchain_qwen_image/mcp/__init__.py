"""The MCP server: what hosts such as Claude Desktop, Claude Code and Cursor call over MCP.

It needs the extra `mcp`. Nothing here decides what is paid for: the account does, by the key of a
call and by what has reached its client (`account/deliveries.py`). On stdio nothing but the protocol
is written to standard output.
"""
