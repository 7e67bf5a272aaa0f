"""What is written for systemd and launchd: to the letter, whatever a path has in it, and read again as it was."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.api.service import launchd, systemd
from relay.api.service.definition import Definition, short_name

PLAIN = Definition("/home/ann/.local/share/relay", "/home/ann/.relay-venv/bin/python", "/home/ann/bin:/usr/bin")
ODD = Definition('/srv/a b/50% "$HOME"\n\\', "/opt/my venv/bin/python", "/home/ann/my bin:/o'k\"$x\\:/50%n")

PLAIN_UNIT = """\
# Written by `relay service install`. To change it, type that again; to remove it: relay service uninstall.
[Unit]
Description=Relay broker, /home/ann/.local/share/relay
StartLimitIntervalSec=3600
StartLimitBurst=60

[Service]
Type=exec
ExecStart="/home/ann/.relay-venv/bin/python" "-P" "-m" "relay.daemon" "--as-service" \
"--home" "/home/ann/.local/share/relay"
Environment="PATH=/home/ann/bin:/usr/bin"
KillMode=process
OOMPolicy=continue
Restart=on-failure
RestartSec=5
TimeoutStopSec=30

[Install]
WantedBy=default.target
"""
OPTIONS = '"-P" "-m" "relay.daemon" "--as-service" "--home"'
ODD_LINES = (
    'Description=Relay broker, /srv/a b/50%% "$HOME"??',
    f'ExecStart="/opt/my venv/bin/python" {OPTIONS} "/srv/a b/50%% \\"$$HOME\\"\\n\\\\"',
    'Environment="PATH=/home/ann/my bin:/o\'k\\"$x\\\\:/50%%n"',
)

PLAIN_PLIST = """\
<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
\t<key>Label</key>
\t<string>local.relay.relay-73717ed8</string>
\t<key>ProgramArguments</key>
\t<array>
\t\t<string>/home/ann/.relay-venv/bin/python</string>
\t\t<string>-P</string>
\t\t<string>-m</string>
\t\t<string>relay.daemon</string>
\t\t<string>--as-service</string>
\t\t<string>--home</string>
\t\t<string>/home/ann/.local/share/relay</string>
\t</array>
\t<key>EnvironmentVariables</key>
\t<dict>
\t\t<key>PATH</key>
\t\t<string>/home/ann/bin:/usr/bin</string>
\t</dict>
\t<key>RunAtLoad</key>
\t<true/>
\t<key>KeepAlive</key>
\t<dict>
\t\t<key>SuccessfulExit</key>
\t\t<false/>
\t</dict>
\t<key>ThrottleInterval</key>
\t<integer>10</integer>
\t<key>AbandonProcessGroup</key>
\t<true/>
\t<key>StandardOutPath</key>
\t<string>/home/ann/.local/share/relay/service.log</string>
\t<key>StandardErrorPath</key>
\t<string>/home/ann/.local/share/relay/service.log</string>
</dict>
</plist>
"""


def test_a_plain_unit_to_the_letter() -> None:
    assert systemd.unit_text(PLAIN) == PLAIN_UNIT


def test_an_odd_unit_to_the_letter() -> None:
    assert systemd.fault(ODD) == ""
    lines = systemd.unit_text(ODD).split("\n")
    assert tuple(line for line in lines if line.startswith(("Desc", "Exec", "Env"))) == ODD_LINES


def test_a_plain_property_list_to_the_letter() -> None:
    assert launchd.plist(PLAIN).decode() == PLAIN_PLIST


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=30)


@given(TEXTS, TEXTS, TEXTS)
def test_a_unit_is_read_as_it_was_written(home: str, python: str, path: str) -> None:
    made = Definition(f"/{home}", f"/{python}", path)
    if systemd.fault(made) == "":
        text = systemd.unit_text(made)
        assert systemd.read_unit(text) == made
        # whatever is in a path, it makes no line of its own
        assert [line.partition("=")[0] for line in text.split("\n")] == [
            line.partition("=")[0] for line in PLAIN_UNIT.split("\n")
        ]


@given(TEXTS, TEXTS)
def test_a_property_list_is_read_as_it_was_written(home: str, path: str) -> None:
    made = Definition(f"/{home}", "/usr/bin/python3", path)
    if launchd.fault(made) == "":
        assert launchd.read_plist(launchd.plist(made)) == made


@pytest.mark.parametrize(
    "made",
    [
        Definition("/h", "/opt/$VENV/python", "/usr/bin"),
        Definition("/h", "/opt/a\nb/python", "/usr/bin"),
        Definition("/h", "/usr/bin/python", "/usr/bin\nExecStartPre=/bin/evil"),
        Definition("/h\udcff", "/usr/bin/python", "/usr/bin"),
    ],
)
def test_what_no_unit_can_carry_is_refused(made: Definition) -> None:
    assert systemd.fault(made)


def test_what_no_property_list_can_carry_is_refused() -> None:
    assert launchd.fault(PLAIN) == ""
    assert launchd.fault(Definition("/h\x1b", "/usr/bin/python", "/usr/bin"))
    assert launchd.fault(Definition("/h\r", "/usr/bin/python", "/usr/bin"))
    assert launchd.fault(Definition("/h\udcff", "/usr/bin/python", "/usr/bin"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[Service]\nExecStart=/bin/true\n",
        PLAIN_UNIT.replace("relay.daemon", "other.daemon"),
        PLAIN_UNIT.replace("ExecStart=", "ExecStart=/bin/true\nExecStart="),
        PLAIN_UNIT.replace('"-P"', "-P"),
        PLAIN_UNIT.replace("PATH=", "LD_PRELOAD="),
        PLAIN_UNIT.replace("# Written", "# written"),
    ],
)
def test_a_unit_of_another_hand_is_not_read(text: str) -> None:
    assert systemd.read_unit(text) is None


@pytest.mark.parametrize("data", [b"", b"<plist><x", b"\x00\xff", b"<plist><array/></plist>", b"bplist00", b"<x/>"])
def test_a_property_list_of_another_hand_is_not_read(data: bytes) -> None:
    assert launchd.read_plist(data) is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the usual home is another one elsewhere")
def test_two_homes_have_two_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert systemd.unit_name("/home/ann/.local/share/relay") == "relay.service"
    assert launchd.label("/home/ann/.local/share/relay") == "local.relay"
    monkeypatch.setenv("RELAY_HOME", "/srv/b")
    assert systemd.unit_name("/home/ann/.local/share/relay") == "relay.service"
    names = {systemd.unit_name(each) for each in ("/srv/b", "/opt/b", "/srv/B b", "/srv/b%n", "/")}
    assert len(names) == 5
    assert all(len(name) < 60 and set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-.") for name in names)
    (tmp_path / "link").symlink_to(tmp_path)
    assert short_name(str(tmp_path / "link")) == short_name(str(tmp_path))


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze: apt-get install systemd")
@pytest.mark.parametrize("name", ["plain", "odd"])
def test_systemd_takes_the_unit(tmp_path: Path, name: str) -> None:
    """`systemd-analyze verify` exits with 0 and complains of nothing."""
    python = tmp_path / ("bin" if name == "plain" else "my 50% bin") / "python"
    python.parent.mkdir()
    python.symlink_to("/bin/true")
    made = Definition(PLAIN.home if name == "plain" else ODD.home, str(python), PLAIN.path + ":/50%")
    unit = tmp_path / "relay-test.service"
    unit.write_text(systemd.unit_text(made))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", str(unit)],
        capture_output=True,
        text=True,
        timeout=30,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)},
    )
    assert (done.returncode, [line for line in done.stderr.splitlines() if "relay-test" in line]) == (0, [])
