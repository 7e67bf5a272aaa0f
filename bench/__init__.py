"""`make bench`: one run, one table, ratios first.

Absolute figures move by tens of percent between runs and machines; what counts are ratios to something that was
measured in the same run on the same machine: `ssh` through a private sshd (`sshd.py`), a bare loop over the same
envelopes (`floor.py`), the bare interpreter (`command.py`). Every loop is bounded in count and in time.
"""
