"""Other runners of work doing the same job in the same run: `/bin/true` somewhere else, its exit status back.

Each is driven by a program of its own (`ask_*.py`) under an interpreter of its own, with the packages of
`requirements.lock` beside this file; Relay needs none of them. What they give is not what Relay gives: none of them
is durable at both ends, sealed and supervised; `docs/comparison.md` says more.
"""
