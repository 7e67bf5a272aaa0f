"""What came back from a spawn, on the machine that asked: read, and put onto the true history."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

from relay.core.errors import Code, Misuse
from relay.core.values import frozen
from relay.core.workplaces import FOLDER
from relay.git.command import LONG_S, LOOK_S, Failed, Git
from relay.git.filters import guarded
from relay.git.sound import require_sound
from relay.git.taking_in import borrow, new_bare, take_in
from relay.git.tree import entries, require_links_inside

TIP = "refs/relay/tip"
_NOT_AGAIN = (b"parent", b"gpgsig", b"gpgsig-sha256", b"mergetag")
_PLAIN = ("--no-color", "--no-ext-diff", "--no-textconv", "--src-prefix=a/", "--dst-prefix=b/")
PATCH = ("--binary", "--full-index", "--no-renames", *_PLAIN)


@frozen
class Returned:
    """What came back.

    Attributes:
        name: of the spawn; `id`: its own.
        kind: `repo`, `git` or `folder`.
        key: what it is kept by in the user's repository.
        branch: what its branch is called.
        base: the commit it began from, as it was sent; `tip`: the last one.
        change: the bundle of what lies between.
        sent: the bundle that was sent, where it is kept here, with its ref; None otherwise.
    """

    name: str
    id: str
    kind: str
    key: str
    branch: str
    base: str
    tip: str
    change: Path
    sent: tuple[Path, str] | None = None

    @property
    def is_folder(self) -> bool:
        """Whether it is of a plain folder."""
        return self.kind == FOLDER


def repository_of(folder: Path) -> Git | None:
    """Git in the working tree around a folder; None where there is none.

    Raises:
        Misuse: `bad_tree`: git would not come back from it.
        LocalFault: `no_git`.
    """
    require_sound(Path(os.path.realpath(folder)))
    top = Git(folder, own_settings=True).says("rev-parse", "--show-toplevel", seconds=LOOK_S)
    return None if not top else guarded(Git(Path(os.path.realpath(top)), own_settings=True))


def scratch(returned: Returned, folder: Path, into: Path) -> Git:
    """A repository in a folder of its own that has both ends of a change, with the objects of the user's.

    Raises:
        Misuse: `bad_tree`: what it began from is not here, or it has links that lead out of a plain folder.
        PeerFault: what came is not what was told.
    """
    bare = new_bare(into / "returned.git")
    own = repository_of(folder)
    if own is not None:
        objects = own.text("rev-parse", "--path-format=absolute", "--git-path", "objects")
        borrow(into / "returned.git", Path(objects))
    if returned.sent is not None:
        take_in(bare, *returned.sent, returned.base, "refs/relay/base")
    require_base(bare, returned, folder)
    take_in(bare, returned.change, TIP, returned.tip, TIP)
    if returned.is_folder:
        require_links_inside(bare, entries(bare, "ls-tree", "-r", "-z", returned.tip))
    return bare


def require_base(git: Git, returned: Returned, folder: Path) -> None:
    """Go on only where the commit that a change began from is here.

    Raises:
        Misuse: `bad_tree`.
    """
    if git.says("cat-file", "-e", f"{returned.base}^{{commit}}") is not None:
        return
    is_fetched = returned.kind == "repo"
    where = "a clone of its repository, after git fetch" if is_fetched else "the tree that it was sent from"
    raise Misuse(
        f"what {returned.name} began from is not here",
        code=Code.BAD_TREE,
        why=f"the commit {returned.base[:12]} is not in {folder}",
        hint=f"do it in {where}: cd there",
    )


def show(returned: Returned, folder: Path, into: Path, stat: bool, colour: bool, to: IO[bytes]) -> None:
    """Write what changed to a file, as `git diff` shows it. Blocks; raises as `scratch`."""
    git = scratch(returned, folder, into)
    words = ("--stat=100,72",) if stat else ("--find-renames",)
    plain = tuple("--color=always" if colour and word == "--no-color" else word for word in _PLAIN)
    git.run("diff", *words, *plain, returned.base, returned.tip, "--", to=to, seconds=LONG_S)


def paths(returned: Returned, folder: Path, into: Path) -> list[str]:
    """The paths that changed. Blocks; raises as `scratch`."""
    git = scratch(returned, folder, into)
    return git.paths("diff", "--name-only", "-z", "--no-renames", returned.base, returned.tip, "--")


def grafted(git: Git, base: str, onto: str, tip: str) -> str:
    """The commits of a change, made anew on another commit with the same tree; their last one.

    Args:
        git: in the repository that has all of them.
        base: where they begin; `onto`: where they are to begin.
        tip: the last one.
    """
    if base == onto:
        return tip
    made = {base: onto}
    for line in git.text("rev-list", "--topo-order", "--reverse", "--parents", f"{base}..{tip}").splitlines():
        commit, *parents = line.split()
        made[commit] = _again(git, commit, [made.get(each, each) for each in parents])
    return made[tip]


def _again(git: Git, commit: str, parents: list[str]) -> str:
    """A commit on other parents, letter by letter what it was: whoever made it, in whatever encoding."""
    head, _, message = git.run("cat-file", "commit", commit).partition(b"\n\n")
    tree, *lines = head.split(b"\n")
    kept, is_kept = [tree, *(b"parent " + each.encode() for each in parents)], True
    for line in lines:
        # a signature was of the commit as it was; what begins with a blank belongs to the line before
        is_kept = is_kept if line.startswith(b" ") else line.split(b" ")[0] not in _NOT_AGAIN
        kept += [line] if is_kept else []
    made = git.run("hash-object", "-t", "commit", "-w", "--stdin", given=b"\n".join(kept) + b"\n\n" + message)
    return made.decode().strip()


def patch(git: Git, before: str, after: str, to: Path) -> None:
    """Write the way from one commit to another as a patch."""
    with to.open("wb") as file:
        git.run("diff", *PATCH, before, after, "--", to=file, seconds=LONG_S)


def applies(git: Git, patch_file: Path) -> str | None:
    """Put a patch onto the working tree, whole or not at all; why it cannot be, or None. The index stays as it is."""
    try:
        git.run("apply", "--whitespace=nowarn", "-p1", str(patch_file), seconds=LONG_S)
    except Failed as fault:
        return fault.why
    return None
