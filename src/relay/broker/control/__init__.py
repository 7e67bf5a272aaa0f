"""The control API: one Starlette application over the broker, served on the home's Unix socket.

The dashboard will mount the same application with tokens and scopes; there is no second one.
"""
