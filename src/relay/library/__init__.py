"""Relay's library for asyncio programs: a client of the mesh, and runners that a program offers to it.

    connect.py    `relay.connect`: the way in             mesh.py      what one asks of the mesh
    spawns.py     a spawn that was asked for              seen.py      what was seen of it, frozen
    tickets.py    a call of a tool or runner              answers.py   what it came to
    asking.py     questions that outlive a broker's restart

    runners.py    `@relay.runner`: a function as an offer     schemas.py   what it takes, by its annotations
    outcomes.py   what a returned value is to the mesh        running.py   one call, to its real end
    serving.py    `relay.serve`: the connection to the broker held.py      which calls a program has in hand

All of it is a client of the control API, as the command is. Nothing here touches a signal, starts a thread or a
process, or closes what is the program's own.
"""
