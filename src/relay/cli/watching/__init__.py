"""`relay ps --watch`: a list that keeps itself up to date.

`feed` follows the broker's events in a thread and says when there is something new; `view` asks for the list then,
shows it by `board` on a terminal or tells what differs by `changes`. Nothing is asked while nothing happens.
"""
