"""`[slots]` in config.toml: what it may say, and the line of what it may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay.api import config, settings
from relay.api.home import Home
from relay.core.errors import Code, LocalFault


def test_slots_are_read() -> None:
    text = '[slots]\nclaude = 2\n"label:gpu" = 1\n"label:queue=nightly" = 3\n'
    assert config.parse(text).slots == {"claude": 2, "label:gpu": 1, "label:queue=nightly": 3}
    assert config.parse("").slots == {}


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('name = "x"\n\n[slots]\nclaude = 2\n"label:gpu" = 0\n', "line 5: slots.label:gpu"),
        ("[slots]\nshell = 1\nclaude = true\n", "line 3: slots.claude"),
        ('[slots]\n"label:" = 1\n', "line 2: slots.label:"),
        ('\nslots = { claude = "two" }\n', "line 2: slots.claude"),
        ("slots = 4\n", "line 1: slots is wrong"),
        ("\nslots.Claude = 4\n", "line 2: slots.Claude"),
    ],
)
def test_a_wrong_one_is_named_with_its_line(text: str, place: str) -> None:
    with pytest.raises(LocalFault) as refused:
        config.parse(text)
    assert refused.value.code is Code.BAD_CONFIG
    assert place in refused.value.message and refused.value.why


def test_one_is_set_from_the_command(tmp_path: Path) -> None:
    home = Home(str(tmp_path))
    settings.write_template(home, "here", ())
    assert settings.set_value(home, "slots.claude", ["2"]) == 2
    settings.set_value(home, "slots.label:gpu", ["1"])
    assert config.load(home).slots == {"claude": 2, "label:gpu": 1}
