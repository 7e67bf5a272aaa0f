"""Relay's library for asyncio programs: a client of the mesh, and runners that a program offers to it.

    connect.py    `relay.connect`: the way in                 mesh.py       what one asks of the mesh
    spawns.py     a spawn that was asked for                  seen.py       what was seen of it, frozen
    tickets.py    a call of a tool or runner                  answers.py    what it came to
    places.py     the repository that a spawn works in        asking.py     questions that outlive a restart

    runners.py    `@relay.runner`: a function as an offer     schemas.py    what it takes, by its annotations
    serving.py    `relay.serve`: the line to the broker       identity.py   which program this is, for its life
    carrying.py   each call that comes, once                  held.py       which calls are in hand
    running.py    one call, to its real end                   outcomes.py   what it came to, as the mesh is told
    arguments.py  checked against the schema                  progress.py   how far it is

All of it is a client of the control API, as the command is. Nothing here touches a signal, starts a process, or closes
what is the program's own.
"""
