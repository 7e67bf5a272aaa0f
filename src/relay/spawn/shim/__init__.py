"""The shim and its fork server: the small processes that own attempts.

Nouns: the *fork server* (`serve.py`, `forkserver.py`) was started by exec before any key or store was opened;
it gives each launch to a *shim* (`run.py`), one that is free or a fresh one (`crew.py`). The shim owns one *attempt
folder* at a time: it holds `lock`, writes `record` (`record.py`) and `log` (`frames.py`, `logfile.py`), forks the
*task* (`task.py`), watches it (`supervise.py`) and takes its tree down by a fixed *ladder* (`ladder.py`).

Everything here imports the standard library only and as little of it as possible: the modules are loaded once
by the fork server and shared by all shims. `typing` is not imported at run time for the same reason.
The package is loaded under two names, `shim` in the fork server (so that neither `relay/__init__` nor
`relay/spawn/__init__` runs there) and `relay.spawn.shim` in the broker; imports inside it are relative.
"""
