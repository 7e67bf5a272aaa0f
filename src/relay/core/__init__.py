"""The pure core: values and machines, no I/O, no clock, no randomness, no logging.

`now` (milliseconds since 1970, UTC) and random bytes are arguments. What the core decides, the rooms
above carry out.
"""
