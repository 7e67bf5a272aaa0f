"""Where a repository is fetched from, as a requester may write it: `URL[@REF]`.

The text comes from another machine and ends up on git's command line and with the target's own credentials. So only
forms that are known to be harmless are let through; anything git would run (`ext::…`), read as an option, or be told a
secret by, is refused with the reason.
"""

from __future__ import annotations

import re

from relay.core.errors import Code, Misuse
from relay.core.values import frozen

MAX_URL, MAX_REF = 2_048, 255
NETWORK = ("https", "ssh", "git")
_HOST = r"(?!-)[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]"
_USER = r"(?!-)[A-Za-z0-9._+-]+"
_WEB = re.compile(rf"(https|git)://(?:{_HOST})(?::[0-9]{{1,5}})?/(?P<path>.*)\Z")
_SSH = re.compile(rf"(ssh)://(?:{_USER}@)?(?:{_HOST})(?::[0-9]{{1,5}})?/(?P<path>.*)\Z")
_SCP = re.compile(rf"(?:{_USER}@)?(?:{_HOST}):(?![-:/])(?P<path>.*)\Z")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(//|:)")
_LOGIN = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)[^/\s'\"]*@")
_QUERY = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://[^?#\s'\"]*[?#])[^\s'\"]+")
_COMMIT = re.compile(r"[0-9a-f]{40}\Z")
_FORMS = "https://HOST/PATH, ssh://HOST/PATH, USER@HOST:PATH, git://HOST/PATH, or a whole path on that machine"


@frozen
class Source:
    """A checked source.

    Attributes:
        url: as git gets it; of a repository on the target itself its path.
        protocol: the one git protocol that it takes: `https`, `ssh`, `git` or `file`.
        path: the directory on the target, where it is one; else None.
    """

    url: str
    protocol: str
    path: str | None = None


def read_source(url: str) -> Source:
    """The source that this names.

    Raises:
        Misuse: `bad_source`: it cannot be used, and why.
    """
    if not url or len(url) > MAX_URL or not url.isprintable() or not url.isascii() or " " in url:
        raise _refused(url, f"it is plain text of at most {MAX_URL} letters, without blanks")
    if url.startswith("-"):
        raise _refused(url, "it would be read as an option")
    if url.startswith("/"):
        return _local(url, url)
    if (scheme := _SCHEME.match(url)) is not None and (scheme[2] == ":" or scheme[1] not in (*NETWORK, "file")):
        raise _refused(url, f"{scheme[1]}:{scheme[2]} is not fetched from")
    if url.startswith("file://"):
        return _local(url, url.removeprefix("file://"))
    return _distant(url)


def _local(url: str, path: str) -> Source:
    if not path.startswith("/") or path.startswith("//") or "%" in path or ".." in path.split("/"):
        raise _refused(url, "the path of a repository on that machine is whole, without '..' and '%'")
    return Source(path, "file", path)


def _distant(url: str) -> Source:
    if "://" in url and "@" in url.partition("://")[2].partition("/")[0] and not _SSH.match(url):
        why = "names and secrets do not belong into it: that machine uses its own credentials"
        raise _refused(url.partition("://")[0] + "://…", why)
    if "://" in url and set("?#") & set(url):
        raise _refused(url, "a query does not belong into it, nor the secret that one may hold")
    found = _WEB.match(url) or _SSH.match(url) or (_SCP.match(url) if "://" not in url else None)
    if found is None or not found["path"] or found["path"].startswith("-"):
        raise _refused(url, "it has another form")
    protocol = url.partition("://")[0] if "://" in url else "ssh"
    return Source(url, protocol)


def split_ref(text: str) -> tuple[str, str | None]:
    """`URL[@REF]` in its two parts.

    The first `@` behind the host that does not stand right behind a slash begins the reference.
    """
    behind = text.find("://")
    if behind >= 0:
        begin = text.find("/", behind + 3)
    elif text.startswith("/"):
        begin = 0
    else:
        begin = text.find(":")
    at = text.find("@", max(begin, 0))
    while at > 0 and text[at - 1] == "/":
        at = text.find("@", at + 1)
    return (text, None) if at <= 0 or begin < 0 else (text[:at], text[at + 1 :])


def is_ref(value: object) -> bool:
    """Whether this may name a branch, a tag or a whole commit; never what git would read as anything else."""
    if type(value) is not str or not 0 < len(value) <= MAX_REF or not value.isprintable() or not value.isascii():
        return False
    if set(value) & set(" ~^:?*[\\") or "@{" in value or ".." in value or "//" in value or value == "@":
        return False
    if value.startswith(("-", "/")) or value.endswith(("/", ".")):
        return False
    return not any(part.startswith(".") or part.endswith(".lock") for part in value.split("/"))


def is_commit(value: object) -> bool:
    """Whether this is a whole commit's or tree's name."""
    return type(value) is str and _COMMIT.match(value) is not None


def without_secrets(text: str) -> str:
    """A text without the names, passwords and queries of the URLs in it."""
    return _QUERY.sub(r"\1…", _LOGIN.sub(r"\1…@", text))


def _refused(url: str, why: str) -> Misuse:
    return Misuse(
        f"{without_secrets(url)[:120]!r} is no repository that can be fetched",
        code=Code.BAD_SOURCE,
        why=why,
        hint=f"--repo {_FORMS}",
    )
