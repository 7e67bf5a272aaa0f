"""The mesh: how this broker talks to the others.

Nouns: a *link* is one authenticated connection to a peer; the *outbox* holds envelopes until their recipient's
receipt; the *inbox* takes envelopes in, each once, with its effect, in one transaction.

    carrier bytes → link → inbox (verify, dedupe, commit with effect) → receipt → dispatch → grant → spawn
    request or effect → one journal entry → outbox → link → carrier; the receipt closes the row
"""
