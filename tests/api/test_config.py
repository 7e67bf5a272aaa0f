"""config.toml: checked with the line, changed with its comments kept."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from relay.api import config, durations, settings, sizes
from relay.api.home import Home
from relay.broker.words import ago
from relay.core.errors import Code, LocalFault, Misuse


def test_the_template_says_what_the_defaults_are() -> None:
    assert config.parse(settings.TEMPLATE) == config.Config()
    uncommented = "\n".join(line.removeprefix("# ") for line in settings.TEMPLATE.splitlines() if " = " in line)
    stated = config.parse(uncommented)
    plain = config.Config()
    for name in ("always_on", "default_timeout", "watchdog", "retention", "log_level"):
        assert getattr(stated, name) == getattr(plain, name)


def test_every_setting_is_in_the_template() -> None:
    for key in config.CHECKS:
        assert f"# {key} = " in settings.TEMPLATE or f"[{key}]" in settings.TEMPLATE


def test_an_address_of_one_wire_is_refused_with_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"one wire alone .*listen on \[::\]:7411"):
        config.split_address("[fe80::1%eth0]:7411")
    assert config.split_address("[::]:7411") == ("::", 7411)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("name = 'Laptop!'", "line 1: name"),
        ("# a comment\n\nlisten = ['nowhere']", "line 3: listen"),
        ("listen = '127.0.0.1:1'", "line 1: listen"),
        ("listen = ['[fe80::1%eth0]:7411']", "line 1: listen"),
        ("always_on = 1", "line 1: always_on"),
        ("\nmax_parallel = 0", "line 2: max_parallel"),
        ("max_parallel = true", "line 1: max_parallel"),
        ("default_timeout = 30", "line 1: default_timeout"),
        ("watchdog = 'soon'", "line 1: watchdog"),
        ("log_level = 'loud'", "line 1: log_level"),
        ("env = ['A=B']", "line 1: env"),
        ("\ndashboard = 3", "line 2: dashboard"),
        ("\n[dashboard]\nport = 70000", "line 3: dashboard.port"),
        ("[dashboard]\nport = true", "line 2: dashboard.port"),
        ("[dashboard]\nhost = '0.0.0.0'", "line 2: dashboard.host"),
        ("mdns = 'no'", "line 1: mdns"),
        ("mdns_interfaces = ['eth0']", "line 1: mdns_interfaces"),
        ("[peers]\nvps = 'a:1'", "line 1: peers"),
        ("[peers]\nvps = ['a:0']", "line 1: peers"),
        ("[peers]\nVPS = ['a:1']", "line 1: peers"),
        ("\n\nnmae = 'x'", "line 3: there is no setting 'nmae'"),
        ("[other]\nx = 1", "line 1: there is no setting 'other'"),
    ],
)
def test_a_wrong_setting_is_named_with_its_line(text: str, where: str) -> None:
    with pytest.raises(LocalFault) as caught:
        config.parse(text)
    assert caught.value.code is Code.BAD_CONFIG
    assert where in caught.value.message


def test_a_file_that_is_no_toml_names_the_line(tmp_path: Path) -> None:
    home = Home(tmp_path)
    Path(home.config).write_text("name = 'ok'\nlisten = [\n")
    with pytest.raises(LocalFault) as caught:
        config.load(home)
    assert "line 2" in caught.value.message and "the file ends there" in caught.value.why
    Path(home.config).write_bytes(b"name = '\xff'")
    with pytest.raises(LocalFault, match="UTF-8"):
        config.load(home)
    Path(home.config).write_bytes(b"#" * (config.MAX_BYTES + 1))
    with pytest.raises(LocalFault, match="too big"):
        config.load(home)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("name = 'ok'\nmdns =", 2),
        ('name = "ok\n\n\n', 1),
        ("name = 'ok'\n\nenv = [\n\n\n", 3),
        ("name = 'ok'\nname = 'again'\n", 2),
        ("name = 'ok'\nmdns = tru\n", 2),
    ],
)
def test_what_is_no_toml_is_told_with_its_line_also_at_the_end_of_the_file(text: str, line: int) -> None:
    with pytest.raises(LocalFault) as caught:
        config.parse(text)
    assert caught.value.message == f"config.toml, line {line}: not TOML"


@pytest.mark.parametrize("size", [2**10, 10 * 2**30, 3 * 2**39, 1536 * 2**10, 314_573, 1_000_000_007])
def test_a_size_is_shown_as_it_can_be_typed(size: int) -> None:
    assert sizes.parse(sizes.typed(size)) == size


def test_setting_one_keeps_the_rest(tmp_path: Path) -> None:
    home = Home(tmp_path)
    Path(home.config).write_text("# mine\nname = 'a' # yes\n\n[dashboard]\nport = 1\n")
    assert settings.set_value(home, "listen", ["127.0.0.1:0", "[::1]:7411"]) == ("127.0.0.1:0", "[::1]:7411")
    assert settings.set_value(home, "name", ["b"]) == "b"
    assert settings.set_value(home, "dashboard.port", ["7"]) == 7
    assert settings.set_value(home, "watchdog", ["10m"]) == 600
    text = Path(home.config).read_text()
    assert "# mine" in text and "# yes" in text
    assert os.stat(home.config).st_mode & 0o777 == 0o600
    assert settings.get(home, "dashboard.port") == 7


@pytest.mark.parametrize(("key", "value"), [("nmae", "x"), ("name", "A B"), ("max_parallel", "0"), ("dashboard", "3")])
def test_what_cannot_be_is_not_written(tmp_path: Path, key: str, value: str) -> None:
    home = Home(tmp_path)
    with pytest.raises(Misuse):
        settings.set_value(home, key, [value])
    assert not Path(home.config).exists()


def test_durations() -> None:
    texts = ("90s", "30m", "2h", "1d", "1h30m", "0.5s")
    assert [durations.parse(text) for text in texts] == [90, 1800, 7200, 86_400, 5400, 0.5]


@pytest.mark.parametrize("text", ["", "5", "m", "5 m", "-5m", "0s", "5x", "1e3s", "٣s", "9999999999s"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(Misuse) as caught:
        durations.parse(text)
    assert caught.value.code is Code.BAD_DURATION


def test_durations_and_moments_read_well() -> None:
    spoken = [durations.spoken(each) for each in (-1, 0.84, 42, 200, 6000, 200_000)]
    assert spoken == ["0.0 s", "0.8 s", "42 s", "3 min", "100 min", "2 d"]
    assert [durations.typed(each) for each in (90, 1800, 2592000, 1.5)] == ["90s", "30m", "30d", "1.5s"]
    assert durations.rfc3339(1_700_000_000_007) == "2023-11-14T22:13:20.007Z"
    assert durations.moment("2023-11-14T22:13:20.007Z") == pytest.approx(1_700_000_000.007)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (14.9 * 60, "15 min"),
        (9.94, "9.9 s"),
        (9.97, "10 s"),
        (119.4, "119 s"),
        (119.6, "2 min"),
        (119.6 * 60, "2 h"),
        (2.6 * 3600, "3 h"),
        (47.6 * 3600, "2 d"),
        (2.5 * 86_400, "3 d"),
    ],
)
def test_ages_are_rounded_and_no_unit_is_overrun(seconds: float, words: str) -> None:
    assert durations.spoken(seconds) == words


def test_what_brokers_say_of_ages_is_rounded_too() -> None:
    assert [ago(ms) for ms in (1_600, 894_000, 7_100_000, 9_360_000, -5)] == [
        "2 s ago",
        "15 min ago",
        "118 min ago",
        "3 h ago",
        "0 s ago",
    ]


def test_a_member_s_addresses_are_set_by_its_name(tmp_path: Path) -> None:
    home = Home(tmp_path)
    settings.write_template(home, "laptop", ())
    assert settings.set_value(home, "peers.mini.local", ["10.0.0.5:7411,[fd7a::1]:7411"]) == (
        "10.0.0.5:7411",
        "[fd7a::1]:7411",
    )
    settings.set_value(home, "mdns", ["false"])
    loaded = config.load(home)
    assert loaded.peers == {"mini.local": ("10.0.0.5:7411", "[fd7a::1]:7411")} and loaded.mdns is False
    for key, value in (("peers", "x"), ("peers.vps", "nowhere"), ("peers.UP", "a:1"), ("mdns_interfaces", "eth0")):
        with pytest.raises(Misuse):
            settings.set_value(home, key, [value])
