"""Running things on this machine.

Nouns: an *agent* is a named way to run a program; an *attempt* is one try at a spawn, in a folder of its own; the
*shim* owns one attempt and outlives the broker; the *ledger* writes this broker's signed word on each step; the
*supervisor* admits, starts, watches, stops and finishes.

    admitted → ledger: starting → attempt folder → fork server → shim → exit record → ledger: the end
"""
