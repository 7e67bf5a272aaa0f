"""`relay service`: making a broker a service of its user, on systemd and on launchd.

`seam` is what the verbs need of a service manager, `systemd` and `launchd` are the two there are; `installing` and
`looking` use either. The managers are reached through their own commands, found on PATH.
"""
