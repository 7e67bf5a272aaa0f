"""Which sources, names, links and wishes are let through: by examples, and by anything at all."""

from __future__ import annotations

import json
import os.path
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.cli.verbs.diff import harmless
from relay.core.allowlist import Grant
from relay.core.errors import Code, Misuse, PeerFault
from relay.core.grants import Denied
from relay.core.ids import BrokerId
from relay.core.place_rights import lack_of_place
from relay.core.sources import is_commit, is_ref, read_source, split_ref
from relay.core.wishes import first_bad_wish, wishes_from_content
from relay.core.withheld import is_withheld, links_out
from relay.core.workplaces import Workplace, branch_of, change_of, is_place, is_sub

TREE = {"key": "k1234567890", "kind": "git", "blob": "ab" * 32, "size": 9, "commit": "1" * 40, "tree": "2" * 40}
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
URL_LIKE = st.text(st.sampled_from("abch:/@.-+%~ \\'\"\0\n[]?#&;$1"), max_size=24) | st.text(max_size=24)


@pytest.mark.parametrize(
    ("url", "protocol"),
    [
        ("https://github.com/me/site.git", "https"),
        ("https://example.org:8443/a/b", "https"),
        ("ssh://git@example.org:2222/srv/x.git", "ssh"),
        ("git@github.com:me/site.git", "ssh"),
        ("example.org:~/site", "ssh"),
        ("git://example.org/x", "git"),
        ("https://[::1]/x", "https"),
        ("/srv/git/x.git", "file"),
        ("file:///srv/git/x.git", "file"),
    ],
)
def test_a_source_that_is_known_is_let_through(url: str, protocol: str) -> None:
    assert read_source(url).protocol == protocol


@pytest.mark.parametrize(
    "url",
    [
        "", "-x", "--upload-pack=touch /tmp/x", "ext::sh -c id", "ext::id", "fd::3", "http://example.org/x", "ftp://a/b",
        "https://user:secret@example.org/x", "https://secret@example.org/x", "http://u:secret@h/x", "ext::https://u:secret@h/x",
        "https://h/x?token=secret", "https://h/x#secret", "https://u:sec@secret@h/x", "ssh://-oProxyCommand=id/x",
        "ssh://u:secret@h/x", "-oProxyCommand=id:x", "user@-host:x", "host:-x", "host:/abs", "relative/path", "~/x",
        "./x", "file://host/x", "file:///a/%2e%2e/b", "/a/../b", "//net/x", "https://h/\n", "https://h/a b",
        "https://h", "transport::https://h/x", "git+ssh://h/x", "/é", "https://h/" + "x" * 3000,
    ],
)  # fmt: skip
def test_a_source_that_could_do_harm_is_refused(url: str) -> None:
    with pytest.raises(Misuse) as refused:
        read_source(url)
    assert refused.value.code is Code.BAD_SOURCE and "secret" not in refused.value.message


@given(URL_LIKE)
def test_no_source_is_an_option_or_runs_a_program(url: str) -> None:
    try:
        source = read_source(url)
    except Misuse:
        return
    # git takes for a program's name what stands before "::", where all of it could be a scheme's
    assert not source.url.startswith("-") and not re.match(r"[A-Za-z0-9][A-Za-z0-9+.-]*::", source.url)
    assert source.protocol in ("https", "ssh", "git", "file") and source.url.isprintable() and " " not in source.url
    assert (source.protocol == "file") == (source.path is not None)
    if source.path is not None:
        assert os.path.isabs(source.path) and ".." not in source.path.split("/")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("https://h/me/x.git@main", ("https://h/me/x.git", "main")),
        ("https://h/me/x.git@feature/y", ("https://h/me/x.git", "feature/y")),
        ("git@h:me/x.git@v1.2", ("git@h:me/x.git", "v1.2")),
        ("git@h:me/x.git", ("git@h:me/x.git", None)),
        ("ssh://git@h/x@main", ("ssh://git@h/x", "main")),
        ("/srv/@scope/x@main", ("/srv/@scope/x", "main")),
        ("/srv/@scope/x", ("/srv/@scope/x", None)),
    ],
)
def test_url_and_ref_are_told_apart(text: str, parts: tuple[str, str | None]) -> None:
    assert split_ref(text) == parts


@pytest.mark.parametrize("ref", ["main", "feature/x", "v1.2", "a" * 40, "üx"[1:]])
def test_a_ref(ref: str) -> None:
    assert is_ref(ref)


@pytest.mark.parametrize(
    "ref", ["", "-f", "a..b", "a:b", "a b", "@{-1}", "a@{1}", "x.lock", ".x", "x/", "/x", "a//b", "x^", "a~1", "*", "@"]
)
def test_no_ref(ref: str) -> None:
    assert not is_ref(ref)


@given(st.text(max_size=40))
def test_nothing_that_git_reads_otherwise_is_a_ref(text: str) -> None:
    if is_ref(text):
        assert not text.startswith("-") and not set(text) & set(":^~*?[\\ \0\n") and ".." not in text


@pytest.mark.parametrize(
    "path",
    [".env", "x/.env.production", "prod.env", "a/server.PEM", "id_rsa", "deep/.ssh/config", ".aws/credentials",
     ".netrc", "x.key", ".npmrc", "id_ed25519-old"],
)  # fmt: skip
def test_a_secret_by_its_name(path: str) -> None:
    assert is_withheld(path)


@pytest.mark.parametrize("path", [".env.example", "environment.py", "src/key.py", "id_rsa.pub", "pem.md", "keys/x.py"])
def test_no_secret_by_its_name(path: str) -> None:
    assert not is_withheld(path)


@given(st.lists(st.sampled_from(["a", "B", "src", "x y"]), max_size=4), st.sampled_from([".env", "k.pem", "ID_RSA"]))
def test_a_secret_is_one_wherever_it_lies(folders: list[str], name: str) -> None:
    assert is_withheld("/".join([*folders, name])) and is_withheld("/".join([*folders, name]).upper())


_NAMES = st.lists(st.sampled_from(["a", "b", "..", ".", ""]), min_size=1, max_size=6)


@given(st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=4), _NAMES)
def test_a_link_leads_out_where_its_path_does(at: list[str], target: list[str]) -> None:
    text = "/".join(target)
    if text.startswith("/"):
        assert links_out("/".join(at), text)
        return
    parts, lowest = list(at[:-1]), len(at) - 1
    for name in target:
        if name == "..":
            lowest = min(lowest, len(parts) - 1)
            parts = parts[:-1]
        elif name not in ("", "."):
            parts.append(name)
    assert links_out("/".join(at), text) == (lowest < 0)


def test_a_diff_steers_no_terminal() -> None:
    assert harmless("\x1b[32m+a\x1b[m\n") == "\x1b[32m+a\x1b[m"
    shown = harmless("+\x1b]0;title\x07\x1b[2J\r\x9b1m\u202ex\n-\x1b[31;1H")
    assert "\x1b" not in shown and "\x07" not in shown and "\r" not in shown and "\u202e" not in shown


# the wish


@pytest.mark.parametrize(
    "place",
    [
        {"repo": "https://h/x"},
        {"repo": "https://h/x", "ref": "main", "push": "origin", "sub": "a/b"},
        {"tree": TREE},
        {"tree": TREE | {"kind": "folder"}, "sub": "a", "push": "https://h/x"},
    ],
)
def test_a_place_crosses_the_wire_and_the_store(place: dict[str, Any]) -> None:
    wishes = wishes_from_content({"place": place})
    content = json.loads(json.dumps(wishes.to_content()))
    assert content == {"place": place} and wishes_from_content(content) == wishes


@pytest.mark.parametrize(
    "place",
    [
        None, [], "https://h/x", {}, {"repo": "ext::id"}, {"repo": "https://h/x", "tree": TREE}, {"ref": "main"},
        {"repo": "https://h/x", "other": 1}, {"tree": TREE, "ref": "main"}, {"tree": TREE, "push": "origin"},
        {"tree": TREE | {"blob": "AB" * 32}}, {"tree": TREE | {"commit": "main"}}, {"tree": TREE | {"size": -1}},
        {"tree": TREE | {"key": "../../heads"}}, {"tree": TREE | {"kind": "tar"}}, {"tree": TREE | {"more": 1}},
        {"repo": "https://h/x", "sub": "../x"}, {"repo": "https://h/x", "sub": "/x"},
        {"repo": "https://h/x", "sub": "a/.git"}, {"repo": "https://h/x", "ref": "--upload-pack=x"},
        {"repo": "https://h/x", "push": "ext::id"}, {"tree": {key: TREE[key] for key in TREE if key != "tree"}},
    ],
)  # fmt: skip
def test_a_place_of_another_form_is_refused(place: Any) -> None:
    assert first_bad_wish({"place": place}) == "place"
    with pytest.raises(PeerFault):
        wishes_from_content({"place": place})


@given(ANY_JSON)
def test_anything_at_all_is_judged(value: Any) -> None:
    if is_place(value):
        assert wishes_from_content({"place": value}).place is not None
    is_sub(value), is_ref(value), is_commit(value)
    if type(value) is dict:
        try:
            change_of(value)
            change_of({"change": value})
        except PeerFault:
            pass


@given(st.from_regex(r"[a-z0-9][a-z0-9._-]{0,63}", fullmatch=True))
def test_every_name_of_a_spawn_makes_a_branch(name: str) -> None:
    assert is_ref(branch_of(name)) and branch_of(name).startswith("relay/")


# the grant


def _grant(*dirs: str, verbs: tuple[str, ...] = ("spawn",)) -> Grant:
    return Grant(BrokerId("b"), verbs, ("shell",), dirs, "edit", 1)


def test_a_repository_on_the_target_lies_in_the_grant_s_directories() -> None:
    place = Workplace(repo="/srv/git/x")
    assert lack_of_place(_grant("/srv", "new"), place, "laptop") is None
    denied = lack_of_place(_grant("/home", "new"), place, "laptop")
    assert isinstance(denied, Denied) and denied.code is Code.FOREIGN_DIRECTORY
    assert denied.hint == "relay trust allow laptop --dir /srv/git/x"
    out = lack_of_place(_grant("/srv"), place, "laptop", lambda path: "/etc/x")
    assert out is not None and "/etc/x" in out.message, "by its real path"
    assert lack_of_place(_grant("new"), Workplace(repo="https://h/x"), "laptop") is None


def test_pushing_takes_the_verb_and_a_path_the_directory() -> None:
    place = Workplace(repo="https://h/x", push="origin")
    denied = lack_of_place(_grant("new"), place, "laptop")
    assert denied is not None and denied.hint == "relay trust allow laptop --verb push"
    allowed = _grant("new", verbs=("spawn", "push"))
    assert lack_of_place(allowed, place, "laptop") is None
    elsewhere = lack_of_place(allowed, Workplace(repo="https://h/x", push="/srv/x"), "laptop")
    assert elsewhere is not None and elsewhere.code is Code.FOREIGN_DIRECTORY
