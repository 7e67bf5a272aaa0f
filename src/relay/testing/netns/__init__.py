"""Brokers on networks of their own: an internet of Linux network namespaces, made and removed by the test.

Nouns: an `Internet` is a router in a namespace of its own; each *site* is a namespace with one *wire* to it, and
perhaps a *NAT box* between (`internet.py`). A wire is a veth pair, or where it has to be slow and lossy a pair of
TUN devices with `tun_wire.py` between them (`wires.py`). The router cuts sites apart, silently or with a reset
(`cuts.py`). `InternetMesh` is a `Mesh` whose brokers live in sites (`brokers.py`).

    with InternetMesh.scratch() as mesh:
        mesh.internet.site("vps")
        mesh.internet.site("laptop", behind_nat=True)
        vps, laptop = mesh.pair("vps", "laptop")
        mesh.internet.cut("vps", "laptop")

Nothing is made outside of the namespaces, and their names carry the pid of the run (`namespaces.py`), so that
what a killed run left is removed by the next. `ability.why_not()` says why a machine cannot do all this.
"""
