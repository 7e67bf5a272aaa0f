"""A broker as a service of its user: what is written for the system's service manager, and reading it again.

A *definition* says which program runs on which home with which PATH. It is written as a *unit* of systemd (`systemd`)
or as a property list of launchd (`launchd`), and found again by `installed`. Nothing here runs a program.
"""
