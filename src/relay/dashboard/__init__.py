"""The dashboard: the web page, its server, and the words it shows.

Nouns. A *host* is a name that a browser may reach this server by, with its *origin*; any other is turned away before
anything is looked at. A *device* is a browser with a token (`relay.broker.devices`). The *guard* lets a device have of
the control API what its scopes say. The *feed* is the WebSocket of events. The *page* is files, and no logic is here.

Flow. listener (socket, uvicorn) -> site (host, headers, which of these) -> page | session | guard -> the control
application of the broker | feed.
"""
