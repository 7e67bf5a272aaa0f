"""Agents: named ways to run a command-line program, as data plus a reader of its output.

An agent's name maps to a *local* command. A remote request brings a task text, a mode and a model, never
an argv; `shell`, `exec` and `python` alone take commands, and a grant has to name them.
"""
