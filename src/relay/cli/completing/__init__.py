"""Completion as one types: `scripts` is what a shell loads, `place` finds what is being typed, `sources` what fits.

A shell's script asks `relay completion words|line`, which prints a candidate a line, with a tab and what it is. It asks
the broker of this machine alone, waits a moment at most, and says nothing where that does not answer. Nothing that
is printed is run: the scripts take it as text and quote it.
"""
