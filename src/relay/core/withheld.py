"""Which files of a working tree do not travel, by their names: likely secrets, and what git takes for its own."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

_NAMES = (
    ".env", ".env.*", "*.env", ".envrc", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.kdbx", "*.ppk",
    "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", ".netrc", "_netrc", ".pgpass", ".npmrc", ".pypirc",
    ".git-credentials", ".htpasswd", "credentials.json", "client_secret*.json", "service-account*.json", "*.asc.key",
    "auth.json", ".vault-token",
)  # fmt: skip
_HARMLESS = (".env.example", ".env.sample", ".env.template", ".env.dist", ".env.defaults", "*.pub")
_UNSEEN = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")  # a Mac's disk passes over these in a name
_FOLDERS = frozenset({".ssh", ".gnupg", ".aws", ".azure", ".kube", ".docker"})


def is_withheld(path: str) -> bool:
    """Whether a file is withheld for its name.

    Args:
        path: relative to the tree, with `/` between names; letters' case does not matter.
    """
    *folders, name = path.lower().split("/")
    if any(fnmatchcase(name, each) for each in _HARMLESS):
        return False
    return any(folder in _FOLDERS for folder in folders) or any(fnmatchcase(name, each) for each in _NAMES)


def is_git_s_own(path: str, is_link: bool = False) -> bool:
    """Whether git keeps no file of this name, since on some disk it would be one of git's own.

    Args:
        path: relative to the tree, with `/` between names.
        is_link: whether it is a symbolic link.
    """
    plain = _UNSEEN.sub("", path).lower()
    # what Windows does with a name: backslashes part it, and dots, blanks and what follows a colon are dropped
    names = [each.split(":")[0].rstrip(" .") for each in re.split(r"[/\\]", plain)]
    return not {".git", "git~1"}.isdisjoint(names) or (is_link and names[-1] in (".gitmodules", "gitmod~1"))


def links_out(path: str, target: str) -> bool:
    """Whether a symbolic link leads out of the tree it is in.

    Args:
        path: of the link, relative to the tree.
        target: what it says.
    """
    if target.startswith("/"):
        return True
    at = path.split("/")[:-1]
    for name in target.split("/"):
        if name == "..":
            if not at:
                return True
            at.pop()
        elif name not in ("", "."):
            at.append(name)
    return False
