"""Which files of a working tree are likely to be secrets: they stay where they are, and are named."""

from __future__ import annotations

from fnmatch import fnmatchcase

_NAMES = (
    ".env", ".env.*", "*.env", ".envrc", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.kdbx", "*.ppk",
    "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", ".netrc", "_netrc", ".pgpass", ".npmrc", ".pypirc",
    ".git-credentials", ".htpasswd", "credentials.json", "client_secret*.json", "service-account*.json", "*.asc.key",
    "auth.json", ".vault-token",
)  # fmt: skip
_HARMLESS = (".env.example", ".env.sample", ".env.template", ".env.dist", ".env.defaults", "*.pub")
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
