"""The folder that holds everything one broker has, and the names of the files in it.

Paths are plain strings here: `pathlib` costs 8 ms of a command's start.
"""

from __future__ import annotations

import os
import stat
import sys

from relay.api.task_token import home_of_task

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

# sun_path holds 108 bytes on Linux and 104 on macOS, the final zero included
MAX_SOCKET_PATH = 100


def default_folder() -> str:
    """`RELAY_HOME`; in a task the home of its broker; else the platform's folder for a user's data."""
    given = os.environ.get("RELAY_HOME")
    return os.path.abspath(os.path.expanduser(given)) if given else home_of_task() or platform_folder()


def platform_folder() -> str:
    """The platform's folder for a user's data: what `platformdirs` says, without its 19 ms."""
    if sys.platform.startswith("linux"):
        data = os.environ.get("XDG_DATA_HOME", "").strip() or os.path.expanduser("~/.local/share")
        return os.path.join(data, "relay")
    import platformdirs

    return platformdirs.user_data_dir("relay", appauthor=False)


class Home:
    """The paths of one broker's files. Immutable; makes and reads nothing by itself.

    Args:
        path: the folder; None for the default.

    Attributes:
        path: the folder, absolute.
        given: whether it is another than the default, so that commands have to name it.
    """

    __slots__ = ("given", "path")
    path: str
    given: bool

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        usual = default_folder()
        folder = usual if path is None else os.path.abspath(os.path.expanduser(os.fspath(path)))
        object.__setattr__(self, "path", folder)
        object.__setattr__(self, "given", folder != usual)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a Home cannot be changed")

    def __repr__(self) -> str:
        return f"Home({self.path!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Home) and other.path == self.path

    def __hash__(self) -> int:
        return hash(self.path)

    def _file(self, name: str) -> str:
        return os.path.join(self.path, name)

    @property
    def folder(self) -> Path:
        """The folder as a `Path`, for what is not in a hurry."""
        from pathlib import Path

        return Path(self.path)

    @property
    def identity_key(self) -> str:
        """The broker's private key."""
        return self._file("identity.key")

    @property
    def workspace_key(self) -> str:
        """The key that the workspace's members share; written last, its presence is what "set up" means."""
        return self._file("workspace.key")

    @property
    def config(self) -> str:
        """`config.toml`: how this broker runs."""
        return self._file("config.toml")

    @property
    def trust(self) -> str:
        """`trust.toml`: who may do what here."""
        return self._file("trust.toml")

    @property
    def mcp_token(self) -> str:
        """What a client of `relay mcp --http` has to bring."""
        return self._file("mcp.token")

    @property
    def agents(self) -> str:
        """`agents.toml`: this machine's own agents."""
        return self._file("agents.toml")

    @property
    def database(self) -> str:
        """The broker's store; no other program opens it."""
        return self._file("relay.db")

    @property
    def lock(self) -> str:
        """Held by the broker for as long as it runs."""
        return self._file("broker.lock")

    @property
    def attempts(self) -> str:
        """One folder for each attempt: lock, record, log."""
        return self._file("attempts")

    @property
    def worktrees(self) -> str:
        """Fresh folders that spawns run in."""
        return self._file("worktrees")

    @property
    def notify(self) -> str:
        """How far each notification is that is being sent; no address is in it."""
        return self._file("notify")

    @property
    def tools(self) -> str:
        """What the host of shared MCP servers is told and tells, and what each server says beside the protocol."""
        return self._file("tools")

    @property
    def terminal(self) -> str:
        """What the dashboard shows a task's terminal in, once it was fetched; public."""
        return self._file("terminal")

    @property
    def push_key(self) -> str:
        """What this broker signs with as a sender of Web Push."""
        return self._file("push.key")

    @property
    def blobs(self) -> str:
        """Files that travel between brokers, by their hash."""
        return self._file("blobs")

    @property
    def reserve(self) -> str:
        """Space kept back so that results land on a full disk."""
        return self._file("reserve")

    @property
    def roster(self) -> str:
        """`roster.json`: the members of the workspace, public."""
        return self._file("roster.json")

    @property
    def log(self) -> str:
        """The broker's own log."""
        return self._file("broker.log")

    @property
    def seen(self) -> str:
        """When a person last asked what had happened (bare `relay`)."""
        return self._file("seen.json")

    @property
    def is_set_up(self) -> bool:
        """Whether `relay init` or `relay join` has been here.

        Raises:
            LocalFault: nobody can say, because this user may not look; that is not the same as no.
        """
        try:
            os.stat(self.workspace_key)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as fault:
            raise self._unreadable(fault) from None
        return True

    def _unreadable(self, fault: OSError) -> Exception:
        from relay.core.errors import LocalFault

        return LocalFault(
            f"the home {self.path} cannot be read",
            why=fault.strerror or str(fault),
            hint=f"ls -ld {_quoted(self.path)}; run relay as the user whose home it is",
        )

    @property
    def socket(self) -> str:
        """The control socket: in the home, or in a short folder where the path would be too long for a socket."""
        plain = self._file("broker.sock")
        if len(os.fsencode(plain)) <= MAX_SOCKET_PATH:
            return plain
        from hashlib import sha256

        name = sha256(os.fsencode(self.path)).hexdigest()[:24]
        return os.path.join(short_runtime_folder(), f"{name}.sock")

    def command(self, words: str) -> str:
        """A command line for this home, to be shown to a person.

        Args:
            words: what follows `relay`.
        """
        return f"relay {words}" if not self.given else f"relay --home {_quoted(self.path)} {words}"


def _quoted(text: str) -> str:
    plain = all(letter.isalnum() or letter in "/._-+:@%" for letter in text)
    return text if plain else "'" + text.replace("'", "'\\''") + "'"


def short_runtime_folder() -> str:
    """Where sockets of homes with long paths stand.

    Not under XDG_RUNTIME_DIR: a service and a terminal may disagree on it, and it goes with the last login.
    """
    return f"/tmp/relay-{os.getuid()}"  # noqa: S108 - checked by is_private_folder


def is_private_folder(path: str) -> bool:
    """Whether this is a real folder of ours that nobody else may look into."""
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077


def keep_owner(file: int, path: str) -> None:
    """Where root writes into the home of another account: the file stays that account's, which has to read it.

    Args:
        file: the descriptor of what is to stand at the path.
        path: where; the owner of what stands there, or else of its folder, is the one.
    """
    if os.geteuid():
        return
    try:
        before = os.lstat(path)
    except FileNotFoundError:
        before = os.lstat(os.path.dirname(path) or ".")
    os.fchown(file, before.st_uid, before.st_gid)


def make_socket_folder(home: Home) -> None:
    """Make the folder of the control socket, 0700, and refuse one that another user put there.

    Raises:
        LocalFault: the folder is not private to this user.
    """
    folder = os.path.dirname(home.socket)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    if not is_private_folder(folder):
        why = "whoever can replace the socket can pose as the broker"
        raise _not_private(home, f"the folder of the control socket, {folder},", folder, why)


def require_private(home: Home) -> None:
    """Refuse a home that others may look into, also where its socket stands elsewhere.

    Raises:
        LocalFault: it is not private to this user.
    """
    if not is_private_folder(place := os.path.realpath(home.path)):
        why = "whoever can replace what is in it can say who may do what here"
        raise _not_private(home, f"the home {home.path}", place, why)


def _not_private(home: Home, named: str, folder: str, why: str) -> Exception:
    from relay.core.errors import Code, LocalFault

    owner = os.lstat(folder).st_uid
    what, hint = "is open to others", f"chmod 700 {_quoted(folder)}"
    if owner != os.getuid():
        what = f"belongs to another user, uid {owner}"
        hint = f"sudo -u '#{owner}' relay --home {_quoted(home.path)} up --detach"  # sudo passes no RELAY_HOME on
    return LocalFault(f"{named} {what}", code=Code.BAD_CONFIG, why=why, hint=hint)
