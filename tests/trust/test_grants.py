import os
import threading
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.core.allowlist import NO_RATE
from relay.core.errors import Code, LocalFault, Misuse
from relay.core.grants import Change, Grant, profile
from relay.core.hours import rate_from_text
from relay.trust.grantfile import parse
from relay.trust.grants import HEADER, allow, freeze, load, revoke

from .seeds import LAPTOP, NOW, VPS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trust.toml"


def write(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o600)


def fault_of(path: Path) -> LocalFault:
    with pytest.raises(LocalFault) as caught:
        load(path)
    assert caught.value.code is Code.BAD_TRUST_FILE
    return caught.value


def test_a_missing_file_grants_nothing(path: Path) -> None:
    assert load(path) == {}
    assert not revoke(path, LAPTOP.id) and not freeze(path, LAPTOP.id)
    assert not path.exists()


def test_allow_writes_a_readable_private_file(path: Path) -> None:
    grant = allow(path, LAPTOP.id, "laptop", profile("runner"))
    assert grant == Grant(LAPTOP.id, ("spawn",), ("*",), ("new",), "edit") == load(path)[LAPTOP.id]
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text().startswith(HEADER.splitlines()[0])
    assert [entry.name for entry in path.parent.iterdir()] == ["trust.toml"]


def test_a_second_allow_extends_and_keeps_comments(path: Path) -> None:
    write(
        path,
        f"# mine\n[brokers.{LAPTOP.id}] # the old one\n"
        "verbs = [\n  'view', # just looking\n]\nmode = 'plan' # careful\n",
    )
    change = Change(verbs=("spawn",), agents=("claude",), dirs=("/srv/app",), expires=NOW)
    assert allow(path, LAPTOP.id, "laptop", change) == Grant(
        LAPTOP.id, ("spawn", "view"), ("claude",), ("/srv/app",), "plan", expires=NOW
    )
    text = path.read_text()
    for comment in ("# mine", "# the old one", "# just looking", "# careful"):
        assert comment in text
    assert "2027-01-15T08:00:00Z" in text
    assert allow(path, LAPTOP.id, "", Change(expires=0)).expires is None
    assert 'name = "laptop"' in path.read_text()


def test_rate_and_hours_are_written_read_and_removed_and_a_comment_beside_them_is_kept(path: Path) -> None:
    change = Change(verbs=("spawn",), rate=rate_from_text("20/1h"), hours=("mon-fri 08:00-18:00",))
    given = allow(path, LAPTOP.id, "laptop", change)
    assert (given.rate, given.hours) == (change.rate, change.hours)
    write(path, path.read_text().replace("18:00\"]\n", "18:00\", # lunch too\n]\n"))
    assert allow(path, LAPTOP.id, "laptop", Change(verbs=("view",))).hours == change.hours
    assert "# lunch too" in path.read_text()
    bare = allow(path, LAPTOP.id, "laptop", Change(rate=NO_RATE, hours=()))
    assert (bare.rate, bare.hours) == (None, ()) and "lunch" not in path.read_text()


def test_verbs_are_read_in_their_own_order_however_they_were_typed(path: Path) -> None:
    allow(path, LAPTOP.id, "laptop", Change(verbs=("push", "stop", "view")))
    assert allow(path, LAPTOP.id, "laptop", Change(verbs=("spawn",))).verbs == ("spawn", "view", "stop", "push")


def test_two_brokers_and_a_revoke(path: Path) -> None:
    allow(path, LAPTOP.id, "laptop", profile("read-only"))
    allow(path, VPS.id, "vps", profile("full"))
    assert set(load(path)) == {LAPTOP.id, VPS.id}
    assert revoke(path, LAPTOP.id)
    assert set(load(path)) == {VPS.id}
    assert revoke(path, VPS.id) and load(path) == {}
    allow(path, VPS.id, "vps", profile("read-only"))
    assert set(load(path)) == {VPS.id}


def test_a_frozen_grant_is_thawed_by_allow(path: Path) -> None:
    allow(path, LAPTOP.id, "laptop", profile("runner"))
    assert freeze(path, LAPTOP.id) and load(path)[LAPTOP.id].frozen
    assert not freeze(path, LAPTOP.id)
    assert not allow(path, LAPTOP.id, "laptop", Change()).frozen
    assert "frozen = true\n" not in path.read_text().replace(HEADER, "")


def test_grouped_ids_are_understood_and_extended_in_place(path: Path) -> None:
    grouped = "-".join(LAPTOP.id[at : at + 7] for at in range(0, 56, 7))
    write(path, f'[brokers."{grouped}"]\nverbs = ["view"]\n')
    allow(path, LAPTOP.id, "laptop", Change(verbs=("message",)))
    assert load(path)[LAPTOP.id].verbs == ("view", "message")
    assert path.read_text().count("[brokers.") == 1
    assert revoke(path, LAPTOP.id)


def test_directories_are_real_paths(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    real = os.path.realpath(tmp_path / "real")
    assert allow(path, LAPTOP.id, "", Change(dirs=("~/link", "new"))).dirs == (real, "new")
    assert "~/link" in path.read_text()
    assert allow(path, LAPTOP.id, "", Change(dirs=(real,))).dirs == (real, "new")


HEAD = f"# one\n\n[brokers.{LAPTOP.id}]\nname = 'laptop'\n"


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("x = = 1\n", 1, "Invalid"),
        (HEAD + "verbs = ['spawn'\nagents = 5\n", 6, ""),
        (HEAD + "verbs = ['spwan']\n", 5, "spwan"),
        (HEAD + "verb = ['spawn']\n", 5, "no key of a grant"),
        (HEAD + "verbs = 'spawn'\n", 5, "list"),
        (HEAD + "agents = ['Bad Agent']\n", 5, "agent"),
        (HEAD + "\ndirs = ['relative/path']\n", 6, "whole path"),
        (HEAD + "dirs = ['/srv/../etc']\n", 5, "whole path"),
        (HEAD + "mode = 'yolo'\n", 5, "plan, edit, full"),
        (HEAD + "max_parallel = 0\n", 5, "1 to"),
        (HEAD + "max_parallel = true\n", 5, "1 to"),
        (HEAD + "ask = 'yes'\n", 5, "true or false"),
        (HEAD + "expires = 2027-01-01T00:00:00\n", 5, "zone"),
        (HEAD + "expires = 5\n", 5, "zone"),
        (HEAD + "\nrate = '20'\n", 6, "no rate"),
        (HEAD + "rate = 20\n", 5, "20/1h"),
        (HEAD + "hours = ['08:00-18:00', 'noon']\n", 5, "no span"),
        (HEAD + "hours = '08:00-18:00'\n", 5, "list"),
        (HEAD + f"[brokers.{VPS.id}]\nmode = 'full'\nask = 1\n", 7, "true or false"),
        (HEAD + "[brokers.laptop]\nmode = 'full'\n", 5, "no broker id"),
        (HEAD + f"[brokers.'{VPS.id.upper()}']\n[brokers.{VPS.id}]\n", 6, "already"),
        ("\n[broker.x]\nmode = 'full'\n", 2, "not known"),
        ("\nmode = 'full'\n", 2, "not known"),
        ("brokers = 5\n", 1, "tables"),
        (f"[brokers]\n{LAPTOP.id} = 5\n", 2, "table"),
        ("x = " + "[" * 5000, 1, ""),
        ("x = " + "9" * 5000, 1, ""),
    ],
)
def test_a_broken_file_is_refused_whole_with_its_line(path: Path, text: str, line: int, word: str) -> None:
    write(path, text)
    fault = fault_of(path)
    assert f"{path}, line {line}:" in fault.why and word in fault.why
    assert f"line {line} of {path}" in fault.hint
    before = path.read_text()
    for act in (lambda: allow(path, LAPTOP.id, "", Change()), lambda: revoke(path, LAPTOP.id)):
        with pytest.raises(LocalFault):
            act()
    assert path.read_text() == before


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_others_may_write_is_refused(path: Path, mode: int) -> None:
    write(path, "")
    path.chmod(mode)
    assert fault_of(path).hint == f"chmod 600 {path}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused(path: Path) -> None:
    write(path, "")
    os.chown(path, 12345, -1)
    assert fault_of(path).why == "uid 12345 can write to it"
    os.chown(path.parent, 12345, -1)  # that account's home, which root looks at
    assert load(path) == {}


def test_what_is_no_text_is_refused(path: Path) -> None:
    path.write_bytes(b"\xff\xfe")
    path.chmod(0o600)
    fault_of(path)


@pytest.mark.parametrize(
    "change",
    [
        Change(verbs=("rule",)),
        Change(agents=("a b",)),
        Change(dirs=("relative",)),
        Change(mode="yolo"),
        Change(max_parallel=0),
        Change(expires=10**18),
    ],
)
def test_what_cannot_be_granted_is_a_misuse_and_changes_nothing(path: Path, change: Change) -> None:
    with pytest.raises(Misuse) as caught:
        allow(path, LAPTOP.id, "", change)
    assert caught.value.why and not path.exists()


@settings(max_examples=150, deadline=None)
@given(label=st.text(max_size=40), folder=st.text(min_size=1, max_size=40))
def test_labels_and_paths_cannot_inject_toml(tmp_path_factory: pytest.TempPathFactory, label: str, folder: str) -> None:
    path = tmp_path_factory.mktemp("trust") / "trust.toml"
    try:
        grant = allow(path, LAPTOP.id, label, Change(dirs=("/srv/" + folder,)))
    except (Misuse, LocalFault):
        assert not path.exists()
        return
    assert set(load(path)) == {LAPTOP.id}
    assert grant.verbs == ("spawn",) and grant.agents == () and grant.mode == "edit"
    assert tomllib.loads(path.read_text())["brokers"][LAPTOP.id].get("name", "") == label


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60) | st.text(alphabet="[]=\"'#.\n{}, brokes1", max_size=60))
def test_only_a_local_fault_escapes_from_the_reader(text: str) -> None:
    try:
        assert parse(Path("trust.toml"), text) == {}
    except LocalFault as fault:
        assert fault.code is Code.BAD_TRUST_FILE


def test_edits_at_the_same_time_lose_nothing(path: Path) -> None:
    verbs = ("spawn", "view", "attach", "send", "stop", "approve")
    threads = [threading.Thread(target=allow, args=(path, LAPTOP.id, "", Change(verbs=(verb,)))) for verb in verbs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(load(path)[LAPTOP.id].verbs) == set(verbs)
