"""Everything that runs git: a working tree becomes a bundle, a bundle becomes a working tree.

    command.py    runs git: bounded, without the caller's GIT_* variables, without hooks
    filters.py    which of a repository's own filters are not run
    tree.py       what stands in a working tree, and why it cannot travel
    snapshot.py   a working tree as it is, as one commit in a bundle; the user's index, hooks, config, refs untouched
    taking_in.py  a bundle that came, judged before anything of it is used
    returning.py  what came back: shown, and put onto the true history
    pulling.py    and taken into the user's tree, where that harms nothing

It is used on both ends: by the command, in the user's own folder, and by the broker, in folders of its home. Nothing
here knows of brokers or spawns.
"""
