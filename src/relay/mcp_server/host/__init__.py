"""The host of shared MCP servers: a program of its own, which offers their tools to this machine's broker.

    keeper ── MCP server        one keeper a server: a small process that ends the whole tree
      │ pipes
    server  ─ the protocol's client, and what a server says as it said it
    share   ─ starts it again with ever longer pauses; runs calls over it
    program ─ the conversation with the broker: offers, calls, progress, results until they are kept

The broker starts it where there are shares, one for each home. It outlives a broker that is killed by a minute, so that
a call which is under way is told to the next one; its servers never outlive it.
"""
