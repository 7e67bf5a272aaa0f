"""Runners and shared tools: what is offered to whom, and calls, each of which runs one of them once.

    programs   the processes that serve runners, connected by `POST programs`
    names      who serves which name here          catalogues  what is told to peers, and heard of them
    asking     a client's call, at its origin      intake      a call that came, at its target
    ledger     the target's word on a call         line        what waits for its program
    serving    what a program says                 watch       who is gone, what is overdue
"""
