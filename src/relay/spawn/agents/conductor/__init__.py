"""The program between an attempt's shim and an agent that talks in both directions; the standard library alone.

    shim ─ stdin: a plan, then a person's words ─► conductor ─ the agent's own protocol ─► claude, codex
    log ◄──────────── stdout, as the agent wrote it ────────── conductor ◄──────────────────┘

It lives in the attempt's own tree, so that a conversation goes on while the broker is away. It decides nothing: what a
person answered comes by standard input, durable and once (`spawn/feeding.py`).

The plan is one line of JSON: {"argv", "task", ...}. A person's words are lines as well: {"answer": NAME, "verb":
"approve" | "deny" | "send", "text"} for what the agent asked under that name, {"say": TEXT} for what nobody asked.
"""
