"""What each verb does: one module each, free of typer, imported only when the verb is called.

Every function takes an `Invocation` and the verb's own words by name, and returns the exit status.
"""
