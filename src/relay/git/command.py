"""Runs git.

Every run has a limit of time, a session of its own (nothing can ask on the terminal), an environment without the
caller's GIT_* variables, no hooks, no file monitor, and only the transports that its caller names.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from dataclasses import field, replace
from pathlib import Path
from typing import IO

from relay.core.errors import Code, LocalFault
from relay.core.sources import without_secrets
from relay.core.values import frozen

LOOK_S, QUICK_S, LONG_S = 20.0, 120.0, 3_600.0
LOOK_EVERY_S = 0.1
LAST_WORDS = 600
MARK = "RELAY_GIT"
_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.untrackedCache=false",
    "core.splitIndex=false",
    "core.sparseCheckout=false",
    "core.safecrlf=false",
    "core.quotePath=true",
    "protocol.ext.allow=never",
    "transfer.fsckObjects=true",
    "fetch.fsckObjects=true",
    # what git only warns of by default, and what would write outside of a tree or into its .git
    "fetch.fsck.hasDot=error",
    "fetch.fsck.hasDotdot=error",
    "fetch.fsck.hasDotgit=error",
    # common in the history of old projects, and harmless
    "fetch.fsck.zeroPaddedFilemode=ignore",
    "fetch.fsck.missingSpaceBeforeDate=ignore",
    "fetch.fsck.badTimezone=ignore",
    "fetch.fsck.missingNameBeforeEmail=ignore",
    "fetch.fsck.missingSpaceBeforeEmail=ignore",
    "fetch.fsck.missingEmail=ignore",
    "fetch.fsck.badEmail=ignore",
    "fetch.fsck.badName=ignore",
    "fetch.fsck.badDateOverflow=ignore",
    "fetch.fsck.zeroPaddedDate=ignore",
    "fetch.fsck.nulInCommit=ignore",
    "fetch.recurseSubmodules=false",
    "submodule.recurse=false",
    "diff.external=",
    "core.alternateRefsCommand=:",
    "gc.auto=0",
    "maintenance.auto=false",
    "commit.gpgSign=false",
    "push.gpgSign=false",
    "push.followTags=false",
    "advice.detachedHead=false",
    "init.defaultBranch=main",
)
_IDENTITY = (
    "GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_AUTHOR_DATE",
    "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL", "GIT_COMMITTER_DATE",
)  # fmt: skip


class Failed(LocalFault):
    """Git refused; `why` has its own last words."""

    default_code = Code.GIT_FAILED


class Stopped(Exception):
    """It was to be stopped, and was."""


class Leash(threading.Event):
    """What git is held by: set, it is stopped; by its mark it is found when whoever held it was killed.

    Args:
        mark: stands in git's environment, and in that of what it starts, as RELAY_GIT; empty for none.
    """

    def __init__(self, mark: str = "") -> None:
        super().__init__()
        self.mark = mark


@frozen
class Git:
    """How git is run.

    Attributes:
        folder: where.
        git_dir: of which repository, where that is not to be found from the folder.
        work_tree: the tree of that repository.
        index: another index file than the repository's.
        protocols: transports that this run may use.
        own_settings: with the user's own configuration (credentials, proxies); without it git knows the repository's.
        stop: set when it is to be stopped.
        who: name, address and time of a commit's author, and of who commits it.
        silenced: filters that are not run.
    """

    folder: Path
    git_dir: Path | None = None
    work_tree: Path | None = None
    index: Path | None = None
    protocols: tuple[str, ...] = ()
    own_settings: bool = False
    stop: Leash = field(default_factory=Leash)
    who: tuple[str, ...] = ()
    silenced: tuple[str, ...] = ()

    def with_index(self, index: Path) -> Git:
        """The same with an index of its own."""
        return replace(self, index=index)

    def environment(self) -> dict[str, str]:
        """What git finds in its environment."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        made = {
            "LC_ALL": "C",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "",
            "SSH_ASKPASS_REQUIRE": "never",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_GRAFT_FILE": os.devnull,
            "GIT_LFS_SKIP_SMUDGE": "1",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_ALLOW_PROTOCOL": ":".join(self.protocols) or "none",
        }
        if not self.own_settings:
            made |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_ATTR_NOSYSTEM": "1"}
        for at, (key, value) in enumerate(settings := self._silencing()):
            made |= {f"GIT_CONFIG_KEY_{at}": key, f"GIT_CONFIG_VALUE_{at}": value}
        if settings:
            made["GIT_CONFIG_COUNT"] = str(len(settings))
        if self.stop.mark:
            made[MARK] = self.stop.mark
        made |= dict(zip(_IDENTITY, self.who, strict=False))
        if not self.who:
            made |= {name: "relay" if "NAME" in name else "relay@localhost" for name in _IDENTITY if "DATE" not in name}
        for name, path in (
            ("GIT_DIR", self.git_dir),
            ("GIT_WORK_TREE", self.work_tree),
            ("GIT_INDEX_FILE", self.index),
        ):
            if path is not None:
                made[name] = str(path)
        return kept | made

    def _silencing(self) -> list[tuple[str, str]]:
        off = (("clean", ""), ("smudge", ""), ("process", ""), ("required", "false"))
        return [(f"filter.{name}.{key}", value) for name in self.silenced for key, value in off]

    def run(
        self, *words: str, given: bytes = b"", seconds: float = QUICK_S, to: IO[bytes] | None = None
    ) -> bytes:
        """What git prints.

        Args:
            words: behind `git`.
            given: its standard input.
            seconds: after which it is ended.
            to: a file that takes what it prints, where that may be long.

        Raises:
            Failed: it ended with another status than 0, or was ended.
            LocalFault: `no_git`.
            Stopped: `stop` was set.
        """
        status, out, err = self._ran(words, given, seconds, to)
        if status != 0:
            why = last_words(err) or f"it ended with status {status}"
            raise Failed(f"git {_verb(words)} failed", why=why, hint=f"try it by hand: git -C {self.folder} status")
        return out

    def text(self, *words: str, seconds: float = QUICK_S) -> str:
        """What git prints, as text without the last line's end; as `run`."""
        return self.run(*words, seconds=seconds).decode("utf-8", "surrogateescape").removesuffix("\n")

    def paths(self, *words: str) -> list[str]:
        """What git prints with `-z`: names as the system has them; as `run`."""
        return [os.fsdecode(each) for each in self.run(*words).split(b"\0") if each]

    def says(self, *words: str, seconds: float = QUICK_S) -> str | None:
        """What git prints, or None where it ended with another status than 0."""
        status, out, _ = self._ran(words, b"", seconds, None)
        return out.decode("utf-8", "surrogateescape").removesuffix("\n") if status == 0 else None

    def _ran(
        self, words: tuple[str, ...], given: bytes, seconds: float, to: IO[bytes] | None
    ) -> tuple[int, bytes, bytes]:
        settings = [word for each in _SETTINGS for word in ("-c", each)]
        try:
            process = subprocess.Popen(
                [_program(), "--no-pager", *settings, *words],
                cwd=self.folder,
                env=self.environment(),
                stdin=subprocess.PIPE,
                stdout=to or subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as fault:
            hint = "is it installed as it should be? git --version"
            raise Failed(f"git {_verb(words)} could not be started", why=str(fault), hint=hint) from None
        try:
            out, err = self._followed(process, given, seconds, _verb(words))
        finally:
            end(process)
        return process.returncode, out or b"", err

    def _followed(
        self, process: subprocess.Popen[bytes], given: bytes, seconds: float, verb: str
    ) -> tuple[bytes | None, bytes]:
        waited = 0.0
        sent: bytes | None = given
        while True:
            try:
                return process.communicate(sent, timeout=LOOK_EVERY_S)
            except subprocess.TimeoutExpired:
                waited += LOOK_EVERY_S
                sent = None  # what was given is on its way; given anew it is refused
            if self.stop.is_set():
                raise Stopped
            if waited >= seconds:
                why, hint = f"it was ended after {seconds:.0f} s", "look whether the disk and the network are well"
                raise Failed(f"git {verb} took too long", why=why, hint=hint)


def _verb(words: tuple[str, ...]) -> str:
    return next((each for each in words if not each.startswith("-")), words[0])


def _program() -> str:
    found = shutil.which("git")
    if found is None:
        raise LocalFault(
            "git is not installed",
            code=Code.NO_GIT,
            why="there is no git in the PATH of the program that needs it",
            hint="install git there (such as: apt install git), and start the broker anew: relay down, then relay up",
        )
    return found


def is_installed() -> bool:
    """Whether there is a git."""
    return shutil.which("git") is not None


def end(process: subprocess.Popen[bytes]) -> None:
    """End git with all that it has started, where it has not ended, and close what led to it."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def last_words(err: bytes) -> str:
    """The end of what git said, on one line, without the secrets that a URL may hold."""
    lines = [line.strip() for line in err.decode("utf-8", "replace").splitlines() if line.strip()]
    told = without_secrets("; ".join(line for line in lines if not line.startswith(("hint:", "warning: You appear"))))
    return "".join(letter if letter.isprintable() else "?" for letter in told[-LAST_WORDS:])
