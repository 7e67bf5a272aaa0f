"""Where spawns work that bring their place along: `--repo` and `--here`, below `worktrees/` of the home.

    .mirrors/HASH       a bare copy of each repository that was fetched; a cache
    ID                  the working tree of a spawn: a repository of its own (a plain folder stays one)
    ID.git              beside it and out of the task's way: where it began, and what came of it
    ID.json             that all of it is there, and from which commit it began; written last

    place.py      the paths of one spawn's place        mirror.py         fetches repositories
    checkout.py   makes a place                         bringing_back.py  makes commits and a bundle of what changed
    workshop.py   one spawn's place from its making to its end, off the loop

What a task leaves in its own `.git` is never obeyed: what it changed is read with the repository beside it.
"""
