"""The command `relay`.

The verbs are declared once, as typer commands, in one file for each group (`set_up`, `workspace`, `trust`, `run`,
`watch`, `steer`, `queue`). `python -m relay.cli.compile` writes what they declare into `surface.py` (words,
options, defaults, the function to call) and `help/*.txt`. At a start, `main` parses by that table, which
imports nothing, and calls the verb's function in `verbs/`; typer itself is imported only for what the table does
not accept, so that usage errors are typer's.

    main  →  parsing (surface)  →  verbs.X.run(invocation, …)  →  api
             fallback (typer)   ↗
"""
