"""A mesh in a box, for black-box tests, the crash harness and the benchmarks.

Nouns: a *scratch* folder holds a `Mesh`; each of its *nodes* is a home folder with a broker that runs as a
process of its own (`mesh.py`). Nodes are driven as people and programs drive them: by the command (`Node.relay`)
and over the control socket (`control.py`). `processes.py` finds what a scratch folder still has running;
`crash.py` kills brokers, fork servers and shims at random and checks the promises; `crashing.py` kills a broker
before or after a chosen durable step.

Nothing in production code knows of this package.
"""
