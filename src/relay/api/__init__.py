"""The control contract: what a broker on this machine answers, and the clients that ask it.

    Home       where one broker keeps its files
    Config     what its `config.toml` says
    Call       one request of the contract, made by a function of `routes`
    Client     carries calls over the home's Unix socket, blocking
    AsyncClient  the same for asyncio, many calls in flight

The command, the dashboard, the MCP face and the Python library are equal clients of this contract. Modules
that the command imports at every start (`home`, `routes`, `http1`, `client`) import almost nothing:
`typing` alone costs as much as starting Python.
"""
