"""The MCP server, driven by the protocol's own client."""
