"""The real claude and codex are taken over: their own interface opens in the session, and shows what was said in it."""

from __future__ import annotations

import json

import pytest

from tests.agents.bench import Bench
from tests.agents.speech import Text
from tests.e2e.scene import relay_json
from tests.live.terminal import DETACH, terminal

pytestmark = [pytest.mark.agents, pytest.mark.timeout(120)]


def _used_before(bench: Bench) -> None:
    """What a person who has used claude there has answered long ago."""
    work = {str(bench.scene.vps.work): {"hasTrustDialogAccepted": True, "hasCompletedProjectOnboarding": True}}
    known = {"hasCompletedOnboarding": True, "theme": "dark", "projects": work}
    known["customApiKeyResponses"] = {"approved": ["a-key-of-nobody"[-20:]], "rejected": []}
    file = bench.home / ".claude.json"
    before = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(before | known))


@pytest.mark.parametrize("agent", ["claude", "codex"])
def test_its_interface_opens_where_its_session_was(bench: Bench, agent: str) -> None:
    bench.stub.plays(Text("A heron stands in it."))
    spawn = bench.run(agent, "What stands in the water?", status=0)["id"]
    _used_before(bench)
    with terminal(bench.scene.vps, "attach", spawn, "--take", size=(40, 120)) as person:
        person.until(b"heron", within=60)
        person.type(DETACH)
        assert person.exit() == 130
    shown = relay_json(bench.scene.vps, "show", spawn)
    assert (shown["state"], shown["attempt"]) == ("running", 2)
    relay_json(bench.scene.vps, "stop", spawn)
    relay_json(bench.scene.vps, "wait", spawn, status=None)
    bench.stub.plays(Text("It flew away."))
    again = bench.waited("continue", spawn, "And now?", "--wait", on=bench.scene.vps)
    assert again["state"] == "completed" and again["result"]["summary"] == "It flew away.", again["error"]
