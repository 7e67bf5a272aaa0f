"""The MCP face of a broker: tools by which any agent uses the mesh. A program of its own, and a client like others.

    an agent's client ── stdio or HTTP ── server ── calls ── relay.api ── the broker of this machine

`relay mcp` starts it. Nothing else imports this room: the protocol's package takes a second to import.
"""
