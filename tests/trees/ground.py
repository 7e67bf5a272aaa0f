"""Working trees of every kind, and what they become on the other side, without brokers in between."""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from relay.core.ids import spawn_id
from relay.core.workplaces import SentTree, Workplace
from relay.git.command import Leash
from relay.git.returning import Returned
from relay.git.snapshot import Snapshot, snapshot
from relay.spawn.worktrees.bringing_back import Brought, bring_back
from relay.spawn.worktrees.checkout import Checkout
from relay.spawn.worktrees.mirror import Mirrors
from relay.spawn.worktrees.place import Place

KEY = "k1234567890"
_DATES = itertools.count(1_700_000_000)
_AUTHOR = ("-c", "user.name=Ann", "-c", "user.email=ann@example.org", "-c", "protocol.file.allow=always")
# git from 2.47 on leaves it in the background, with a lock that comes and goes
_ALONE = ("-c", "maintenance.auto=false")


def git(folder: Path, *words: str, check: bool = True) -> str:
    """What git prints, as a person would have typed it there."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    line = ["git", *_AUTHOR, *_ALONE, *words]
    done = subprocess.run(line, cwd=folder, env=clean, capture_output=True, text=True, check=False, timeout=30)
    assert not check or done.returncode == 0, (words, done.stderr)
    return done.stdout.strip()


def repository(folder: Path, *, commit: bool = True) -> Path:
    """A repository with three files, committed."""
    folder.mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    (folder / "a").write_text("a\n")
    (folder / "b").write_text("b\n")
    (folder / "sub").mkdir()
    (folder / "sub/c").write_text("c\n")
    if commit:
        git(folder, "add", ".")
        # no two have the same first commit, though they were made in the same second
        git(folder, "commit", "-q", "-m", "one", "--date", f"@{next(_DATES)} +0000")
    return folder


def with_submodule(repo: Path, tmp_path: Path) -> None:
    """Give a repository a module of its own, committed."""
    module = repository(tmp_path / "module-origin")
    git(repo, "submodule", "add", "-q", str(module), "module")
    git(repo, "commit", "-qm", "with a module")


def listing(folder: Path) -> dict[str, tuple[str, bytes]]:
    """Every file and link below a folder, but for git's own: its kind, and what is in it."""
    found = {}
    for at, folders, names in os.walk(folder):
        if ".git" in folders:
            folders.remove(".git")
        for name in [*names, *(each for each in folders if os.path.islink(os.path.join(at, each)))]:
            path = Path(at) / name
            if name == ".git":
                continue
            kind = "link" if path.is_symlink() else "x" if os.access(path, os.X_OK) else "file"
            found[str(path.relative_to(folder))] = kind, (
                os.fsencode(os.readlink(path)) if kind == "link" else path.read_bytes()
            )
    return found


def fingerprint(repo: Path) -> dict[str, str]:
    """All of a repository that has to stay as it is: index, configuration, hooks, HEAD, logs, and others' refs."""
    own = repo / ".git"
    files = [own / "index", own / "config", own / "HEAD", own / "FETCH_HEAD", own / "ORIG_HEAD", own / "packed-refs"]
    files += [path for folder in ("hooks", "logs", "info") for path in sorted((own / folder).rglob("*"))]
    found = {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.is_file()}
    refs = [line for line in git(repo, "for-each-ref").splitlines() if "refs/relay/" not in line]
    return found | {"refs": "\n".join(refs)}


@dataclass
class Far:
    """The other machine: a folder of worktrees.

    Attributes:
        root: of all that is made.
        place: of the one spawn.
    """

    root: Path
    place: Place = field(init=False)

    def __post_init__(self) -> None:
        self.place = Place(self.root / "worktrees", spawn_id(os.urandom(10)))
        self.near = self.root / "near"
        self.near.mkdir(parents=True, exist_ok=True)

    def scratch(self) -> Path:
        """A new private folder."""
        made = self.root / f"scratch-{os.urandom(4).hex()}"
        made.mkdir()
        return made

    def sent(self, folder: Path) -> Snapshot:
        """The tree around a folder, packed."""
        return snapshot(folder, self.near, KEY, self.scratch())

    def received(self, made: Snapshot, name: str = "task") -> Path:
        """The place that a packed tree becomes; its folder."""
        tree = SentTree(made.key, made.kind, "ab" * 32, made.size, made.commit, made.tree)
        self.make(Workplace(tree=tree, sub=made.sub), name, made.bundle)
        return self.place.tree

    def make(self, wish: Workplace, name: str = "task", bundle: Path | None = None) -> None:
        """Make the place of a wish."""
        checkout = Checkout(Mirrors(self.place.root))
        checkout.make(self.place, wish, f"relay/{name}", bundle, Leash())

    def brought(self) -> Brought:
        """What changed there."""
        return bring_back(self.place, self.place.began(), "what is left\n", self.scratch(), Leash())

    def returned(self, made: Snapshot | None, name: str = "task") -> Returned:
        """What changed there, as it comes back."""
        brought = self.brought()
        assert brought.bundle is not None
        kind, key = ("repo", self.place.spawn) if made is None else (made.kind, made.key)
        sent = None if made is None else (made.bundle, f"refs/relay/{made.key}/sent")
        ends = (brought.base, brought.tip)
        return Returned(name, self.place.spawn, kind, key, f"relay/{name}", *ends, brought.bundle, sent)
