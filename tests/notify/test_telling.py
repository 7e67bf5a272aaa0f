"""What happens is told: over ntfy and a webhook, by the rules, honestly, and without the address anywhere."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path

import psutil

from relay.testing.processes import wait_until
from tests.e2e.scene import audit, relay, relay_json
from tests.notify.conftest import Ground
from tests.notify.receiver import PASSWORD, SECRET


def test_an_end_a_failure_and_a_question_are_each_told_once(ground: Ground) -> None:
    receiver = ground.receiver
    ground.add("phone", receiver.ntfy("phone"))
    ground.add("hook", receiver.webhook("hook"), "--on", "failure", "--full", "--link", "https://x.example/{spawn}")
    good, good_id = ground.spawn("true")
    bad, bad_id = ground.spawn("echo it broke; exit 3", on=ground.vps)
    for spawn, channel in ((good_id, "phone"), (bad_id, "phone"), (bad_id, "hook")):
        assert ground.told(spawn, channel, "delivered")["tries"] == 1
    assert [each.title for each in receiver.told_of(good)] == [f"{good} on laptop finished"]
    assert f"relay show {good_id}\n" in receiver.told_of(good)[0].text
    both = receiver.told_of(bad)
    assert {each.title for each in both} == {f"{bad} on vps ran into trouble: the task ended with exit code 3"}
    assert sorted(each.path for each in both) == ["/", "/hook"]
    assert len({each.event for each in both}) == 1 and len(receiver.got) == 3
    full = next(each.text for each in both if each.path == "/hook")
    assert f"https://x.example/{bad_id}\n" in full and "agent shell" in full


def test_who_is_asked_is_told_so(ground: Ground) -> None:
    ground.vps.relay("trust", "allow", "laptop", "--ask")
    ground.add("hook", ground.receiver.webhook("hook"))
    name, spawn = ground.spawn("true", on=ground.vps)
    assert ground.receiver.wait_for(name).title.startswith(f"{name} on vps needs you")
    relay(ground.laptop, "stop", spawn)
    ground.told(spawn, "hook", "delivered")


def test_asked_alone_is_told_of_what_has_notify_and_another_channel_by_its_rules(ground: Ground) -> None:
    ground.add("some", ground.receiver.webhook("some"), "--on", "asked")
    ground.add("site", ground.receiver.webhook("site"), "--label", "project=site")
    _, quiet = ground.spawn("true", wait=True)
    _, of_site = ground.spawn("true", "--label", "project=site", wait=True)
    _, asked = ground.spawn("true", "--notify", wait=True)
    channels = [sorted(each["channel"] for each in ground.sent(spawn)) for spawn in (quiet, of_site, asked)]
    assert channels == [[], ["site"], ["site", "some"]]
    done = relay(ground.laptop, "spawn", "x", "shell", "true", "--cwd", "new", "--every", "1h", "--notify")
    assert done.returncode == 2 and b"--notify does not go with --every" in done.stderr


def test_where_the_first_channel_is_down_the_second_tells_and_both_are_on_record(ground: Ground) -> None:
    receiver = ground.receiver
    receiver.down.add("first")
    ground.add("first", receiver.webhook("first"))
    ground.add("second", receiver.webhook("second"), "--instead-of", "first")
    name, spawn = ground.spawn("exit 1")
    told = ground.told(spawn, "second", "delivered")
    first = ground.told(spawn, "first", "given_over")
    assert first["tries"] == 2 and "503" in first["error"] and not first["delivered"]
    assert told["event"] == first["event"] and [each.path for each in receiver.told_of(name)] == ["/second"]
    doctor = {each["name"]: each for each in relay_json(ground.laptop, "doctor", status=None)}
    assert not doctor["notify first"]["ok"] and "503" in doctor["notify first"]["detail"]
    assert doctor["notify second"]["ok"]


def test_where_the_dashboard_is_published_the_word_leads_to_it(ground: Ground) -> None:
    ground.add("hook", ground.receiver.webhook("hook"))
    with ground.laptop.control() as control:
        control.post("dashboard/publish", {"origin": "https://laptop.example.ts.net"})
        try:
            name, spawn = ground.spawn("true")
            text = ground.receiver.wait_for(name).text
        finally:
            control.post("dashboard/publish", {"origin": None})
    assert text.startswith(f"https://laptop.example.ts.net/#/agents?spawn={spawn}\n")


def test_a_test_says_truly_whether_the_service_took_it(ground: Ground) -> None:
    ground.add("hook", ground.receiver.webhook("hook"))
    assert relay(ground.laptop, "notify", "test", "hook").stdout == b"hook took it.\n"
    ground.receiver.down.add("hook")
    done = relay(ground.laptop, "--json", "notify", "test", "hook")
    told = json.loads(done.stdout)
    assert done.returncode == 1 and not told["delivered"] and told["state"] == "failed" and "503" in told["error"]


def test_an_address_is_nowhere_but_sealed_in_the_store(ground: Ground) -> None:
    """Not in a list, an error, a log, the audit log, a process's words or environment, nor readable in a file."""
    seen: list[str] = []

    def look() -> None:
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if "relay.broker.notify.sender" in " ".join(process.cmdline()):
                    seen.append(repr((process.cmdline(), process.environ())))

    ground.receiver.on_request = look
    ground.add("hook", ground.receiver.webhook())
    relay(ground.laptop, "notify", "test", "hook")
    ground.receiver.down.add(SECRET)
    said = [relay(ground.laptop, *words) for words in (("notify", "test", "hook"), ("notify", "list"), ("doctor",))]
    refused = relay(ground.laptop, "notify", "add", "bad", typed=f"nonsense://{SECRET}:{PASSWORD}@x".encode())
    on_line = relay(ground.laptop, "notify", "add", ground.receiver.webhook())
    assert refused.returncode == 2 and on_line.returncode == 2 and len(seen) >= 2
    shown = "".join((each.stdout + each.stderr).decode() for each in (*said, refused, on_line))
    shown += ground.laptop.log() + repr(audit(ground.laptop)) + "".join(seen)
    shown += repr(relay_json(ground.laptop, "notify", "list")) + repr(relay_json(ground.laptop, "notify", "sent"))
    files = b"".join(each.read_bytes() for each in ground.laptop.home.rglob("*") if each.is_file())
    for secret in (SECRET, PASSWORD):
        assert secret not in shown and secret.encode() not in files
    assert "added hook (json)" in shown


def test_the_broker_has_nothing_of_apprise_in_it(ground: Ground) -> None:
    ground.add("hook", ground.receiver.webhook("hook"))
    assert ground.laptop.process is not None
    mapped = Path(f"/proc/{ground.laptop.process.pid}/maps")
    if mapped.exists():  # what apprise alone brings along with it
        assert "yaml" not in mapped.read_text() and "charset_normalizer" not in mapped.read_text()


def test_a_task_may_look_and_change_nothing(ground: Ground) -> None:
    """An agent must not have its person's word, nor the machine's, sent where it likes."""
    script = 'echo json://127.0.0.1:1/x | "$PYTHON" -m relay notify add mine; "$PYTHON" -m relay notify list --json'
    _, spawn = ground.spawn(script.replace('"$PYTHON"', sys.executable), wait=True)
    printed = relay(ground.laptop, "logs", spawn)
    assert b"a task may not ask for that" in printed.stderr and printed.stdout == b"[]\n"
    assert relay_json(ground.laptop, "notify", "list") == []


def test_what_a_removed_channel_was_to_tell_is_told_no_more(ground: Ground) -> None:
    ground.receiver.down.add("hook")
    ground.add("hook", ground.receiver.webhook("hook"))
    _, spawn = ground.spawn("true")
    wait_until(lambda: any(each["tries"] for each in ground.sent(spawn)), 30, "a try")
    relay(ground.laptop, "notify", "remove", "hook")
    ground.receiver.down.clear()
    assert ground.sent(spawn) == [] and relay_json(ground.laptop, "notify", "list") == []
