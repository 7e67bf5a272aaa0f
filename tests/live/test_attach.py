"""`relay attach` on real terminals: typed, sized, shared, left, and taken up again."""

from __future__ import annotations

import json
import re
import signal
import termios

import pytest

from relay.testing import processes
from tests.e2e.scene import Scene, audit, error_of, fresh, gone_within, relay, relay_json, started
from tests.live.terminal import DETACH, terminal

TYPIST = "stty -echo; echo ready; while read line; do echo \"got $line\"; [ $line = bye ] && exit 7; done"
VERBS = ("--agent", "shell", "--verb", "attach", "--verb", "view")


@pytest.fixture
def scene(granted: Scene) -> Scene:
    granted.grant(*VERBS)
    return granted


def test_typed_into_sized_and_ended_with_its_status(scene: Scene) -> None:
    spawn = scene.begin("stty size; " + TYPIST, "--tty")
    with terminal(scene.laptop, "attach", spawn, size=(31, 97)) as person:
        person.until(b"Ctrl-] leaves it running")
        person.until(b"ready")
        person.type(b"hello\r")
        person.until(b"got hello\r\n")
        person.type(b"bye\r")
        assert person.exit() == 7
        assert person.is_as_before


def test_the_size_follows(scene: Scene) -> None:
    # the first size may come before it is heard of
    spawn = scene.begin("trap 'stty size' WINCH; stty size; while :; do sleep 0.05; done", "--tty")
    with terminal(scene.laptop, "attach", spawn, size=(30, 90)) as person:
        person.until(b"30 90")
        person.resize(40, 111)
        person.until(b"40 111")
        # stopped, and told to go on: whoever had the terminal meanwhile has left it another, and nobody tells the size
        person.process.send_signal(signal.SIGSTOP)
        termios.tcsetattr(person.slave, termios.TCSANOW, person.before)
        person.resize(41, 112, tell=False)
        person.process.send_signal(signal.SIGCONT)
        person.until(b"41 112")
        assert not person.is_as_before
        relay(scene.laptop, "stop", spawn)
        assert person.exit() == 130
        assert person.is_as_before
    gone_within(spawn)


@pytest.mark.parametrize(("key", "option"), [(DETACH, ()), (b"\x18", ("--detach-key", "ctrl-x"))])
def test_left_and_taken_up_again(scene: Scene, key: bytes, option: tuple[str, ...]) -> None:
    spawn = scene.begin(TYPIST, "--tty")
    with terminal(scene.laptop, "attach", spawn, *option) as person:
        person.until(b"ready")
        person.type(b"one\r" + key)
        assert person.exit() == 130 and person.is_as_before
    back = re.search(rb"go on: relay ([a-z]+) (\S+) ", person.seen)
    assert back is not None and back[1] == b"attach"
    with terminal(scene.laptop, "attach", back[2].decode()) as person:
        person.until(b"got one")
        person.type(b"bye\r")
        person.until(b"got bye")
        assert person.exit() == 7


def test_it_is_left_though_the_task_takes_nothing_of_what_was_typed(scene: Scene) -> None:
    spawn = scene.begin("stty raw -echo; echo ready; sleep 60", "--tty")
    with terminal(scene.laptop, "attach", spawn) as person:
        person.until(b"ready")
        for _ in range(220):
            person.type(b"z" * 4000)
        person.type(DETACH)
        assert person.exit() == 130
    relay(scene.laptop, "stop", spawn)


def test_it_is_left_though_the_broker_here_is_away(scene: Scene) -> None:
    spawn = scene.begin(TYPIST, "--tty")
    with terminal(scene.laptop, "attach", spawn) as person, started(scene.laptop, "logs", spawn, "-f") as follower:
        person.until(b"ready")
        assert follower.stdout is not None and b"ready" in follower.stdout.readline()
        scene.laptop.stop()
        try:
            person.until(b"the connection broke off")
            person.type(DETACH)
            assert person.exit() == 130 and person.is_as_before
            assert b"is left as it is; the broker of this machine is not running" in person.seen
            follower.send_signal(signal.SIGINT)
            assert follower.wait(15) == 130
        finally:
            scene.laptop.start()
    relay_json(scene.laptop, "stop", spawn)


def test_ctrl_c_is_the_tasks(scene: Scene) -> None:
    spawn = scene.begin("trap 'echo interrupted; exit 3' INT; echo ready; while :; do sleep 0.05; done", "--tty")
    with terminal(scene.laptop, "attach", spawn) as person:
        person.until(b"ready")
        person.type(b"\x03")
        person.until(b"interrupted")
        assert person.exit() == 3


def test_one_drives_and_any_number_look(scene: Scene) -> None:
    spawn = scene.begin(TYPIST, "--tty")
    with (
        terminal(scene.laptop, "attach", spawn) as first,
        terminal(scene.vps, "attach", spawn, "--view") as viewer,
    ):
        first.until(b"ready")
        viewer.until(b"to look at")
        viewer.until(b"ready")
        viewer.type(b"not mine\r")
        first.type(b"mine\r")
        for each in (first, viewer):
            assert b"not mine" not in each.until(b"got mine")
        with terminal(scene.vps, "attach", spawn) as visitor:
            visitor.until(b"got mine")
            first.until(b"@vps drives now")
            visitor.type(DETACH)
            assert visitor.exit() == 130
        first.until(b"you drive again")
        first.type(b"back\r")
        first.until(b"got back")
        with terminal(scene.vps, "attach", spawn) as second:
            second.until(b"got mine")
            first.until(b"@vps drives now")
            first.type(b"too late\r")
            first.until(b"what you type goes nowhere")
            second.type(b"bye\r")
            assert b"too late" not in second.until(b"got bye")
            assert second.exit() == 7
        assert first.exit() == 7
        assert viewer.exit() == 7


def test_a_full_screen_is_drawn_anew_after_what_was_written_in_the_midst_of_it(scene: Scene) -> None:
    """It is drawn where the size changes: after a stop of who is attached, and after a broken connection, too."""
    script = "trap 'echo drawn $(stty size)' WINCH; printf '\\033[?1049hready'; while :; do sleep 0.05; done"
    spawn = scene.begin(script, "--tty")
    with terminal(scene.laptop, "attach", spawn) as person:
        person.until(b"ready")
        person.process.send_signal(signal.SIGSTOP)
        person.process.send_signal(signal.SIGCONT)
        person.until(b"drawn")
        person.until(b"24 80")  # the other size was for a moment
        scene.laptop.restart()
        person.until(b"attached again")
        person.until(b"drawn")
        person.until(b"24 80")
        person.type(DETACH)
        assert person.exit() == 130 and b"\x1b[?1049l" in person.seen
    relay(scene.laptop, "stop", spawn)


def test_a_restart_of_either_broker_is_gone_through(scene: Scene) -> None:
    spawn = scene.begin(TYPIST, "--tty")
    with terminal(scene.laptop, "attach", spawn) as person:
        person.until(b"ready")
        for n, node in enumerate((scene.vps, scene.laptop, scene.vps)):
            node.restart()
            person.type(b"word%d\r" % n)
            person.until(b"got word%d\r\n" % n)
        person.type(b"bye\r")
        person.until(b"got bye")
        assert person.exit() == 7
    log = relay(scene.laptop, "logs", spawn).stdout
    assert [log.count(b"got word%d" % n) for n in range(3)] == [1, 1, 1]


def test_a_broker_that_stops_in_order_is_no_end_of_the_task(scene: Scene) -> None:
    """Where it runs itself, too: what serves there is cut off, and has not come to its end."""
    spawn = scene.begin(TYPIST, "--tty")
    scene.until(spawn, "running")
    with terminal(scene.vps, "attach", spawn) as person:
        person.until(b"ready")
        scene.vps.stop()
        scene.vps.start()
        person.until(b"attached again")
        person.type(b"bye\r")
        assert person.exit() == 7


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_the_terminal_is_restored_whatever_ends_it(scene: Scene, number: int) -> None:
    spawn = scene.begin(TYPIST, "--tty")
    with terminal(scene.laptop, "attach", spawn) as person:
        person.until(b"ready")
        assert not person.is_as_before
        person.process.send_signal(number)
        assert person.exit() == 128 + number
        assert person.is_as_before
    assert scene.show(spawn)["state"] == "running"
    relay(scene.laptop, "stop", spawn)


@pytest.mark.parametrize("option", ["--tty", "--stdin"])
def test_a_window_that_is_closed_is_no_end_of_what_is_typed(scene: Scene, option: str) -> None:
    spawn = scene.begin(TYPIST.removeprefix("stty -echo; "), option)
    with terminal(scene.laptop, "attach", spawn) as person:
        person.until(b"leaves it running")
        person.until(b"ready")
        person.hang_up()
        assert person.process.wait(15) == 128 + signal.SIGHUP
    with terminal(scene.laptop, "attach", spawn) as person:
        person.until(b"ready")
        person.type(b"bye\r")
        person.until(b"got bye")
        assert person.exit() == 7


def test_without_a_terminal_lines_are_sent(scene: Scene) -> None:
    spawn = scene.begin('while read line; do echo "got $line"; done; echo done', "--stdin")
    with terminal(scene.laptop, "attach", spawn) as person:
        person.until(b"each line you type is sent to it")
        person.until(b"Ctrl-C leaves it running")
        person.type(b"hello\r")
        person.until(b"got hello")
        person.type(b"\x04")
        person.until(b"done")
        assert person.exit() == 0
    spawn = scene.begin("echo waiting; sleep 60")
    with terminal(scene.laptop, "attach", spawn) as person:
        person.until(b"takes no input; its log follows; Ctrl-C leaves it running")
        person.until(b"waiting")
        person.process.send_signal(signal.SIGINT)
        assert person.exit() == 130
    relay(scene.laptop, "stop", spawn)
    later = scene.begin("true", "--at", "1h")
    with terminal(scene.laptop, "attach", later) as person:
        person.until(b"Ctrl-C leaves it as it is")  # it does not run
    relay(scene.laptop, "stop", later)


def test_by_a_program(scene: Scene) -> None:
    spawn = scene.begin(TYPIST, "--tty")
    done = relay(scene.laptop, "attach", spawn, typed=b"one\nbye\n")
    assert done.returncode == 7 and b"got one" in done.stdout and b"got bye" in done.stdout
    spawn = scene.begin("cat", "--stdin")
    done = relay(scene.laptop, "--json", "attach", spawn, typed=b"one\n")
    assert done.returncode == 0
    assert b'{"attached": {"terminal": false, "input": true, "drives": true' in done.stdout
    assert b'"data": "one\\n"' in done.stdout and b'"state": "completed"' in done.stdout


def test_it_takes_the_verb(granted: Scene) -> None:
    spawn = granted.begin("echo shown; sleep 60", "--tty")
    granted.until(spawn, "running")
    done = relay(granted.laptop, "--json", "attach", spawn)
    assert done.returncode == 1 and error_of(done)["code"] == "no_verb"
    assert "attach" in error_of(done)["hint"]
    last = [each for each in audit(granted.vps) if each["kind"] == "attach"][-1]
    assert (last["decision"], last["code"]) == ("refused", "no_verb")
    with started(granted.laptop, "attach", spawn, "--view") as viewer:
        assert viewer.stdout is not None and viewer.stdout.readline() == b"shown\r\n"
        viewer.send_signal(signal.SIGINT)
        assert b"go on: relay attach --view" in viewer.communicate(timeout=15)[1]  # to drive takes another verb
    granted.grant(*VERBS)
    with terminal(granted.laptop, "attach", spawn) as person:
        person.until(b"shown")
        relay(granted.vps, "trust", "revoke", "laptop")
        assert person.exit() != 0


def test_it_goes_on_with_the_next_attempt(scene: Scene) -> None:
    """Who is attached is told how the first one ended and when the next one comes, and types into that one."""
    mark = scene.vps.work / fresh("mark")
    ends = f"test -e {mark} && exit 3; touch {mark}; exit 5"
    script = f"stty -echo; echo ready; read line; stty size; echo got $line; {ends}"
    spawn = scene.begin(script, "--tty", "--retries", "1")
    with terminal(scene.laptop, "attach", spawn, size=(31, 97)) as person:
        person.until(b"ready")
        person.type(b"one\r")
        person.until(b"31 97\r\ngot one\r\n")
        person.until(b"[relay] attempt 1: the task ended with exit code 5; retry 1 of 1 in ")
        person.type(b"two\r")  # for the next one, which has not begun
        person.until(b"31 97\r\ngot two\r\n")
        assert person.exit() == 3 and person.is_as_before
    assert scene.show(spawn)["attempt"] == 2


@pytest.mark.parametrize("words", [("attach",), ("logs", "-f")], ids=" ".join)
def test_without_a_terminal_the_logs_of_all_attempts_follow(scene: Scene, words: tuple[str, ...]) -> None:
    mark = scene.vps.work / fresh("mark")
    first = f"while [ ! -e {mark} ]; do sleep 0.02; done; echo long; exit 5"
    script = f"echo begun; test -e {mark} || {{ {first}; }}; echo fine"
    spawn = scene.begin(script, "--retries", "2")
    verb, *options = words
    with (
        started(scene.laptop, verb, spawn, *options) as far,
        started(scene.vps, "--json", verb, spawn, *options) as near,
    ):
        assert far.stdout is not None and far.stdout.readline() == b"begun\n"
        assert near.stdout is not None
        while b"begun" not in near.stdout.readline():
            pass
        mark.touch()
        out, err = far.communicate(timeout=20)
        assert (far.returncode, out) == (0, b"long\nbegun\nfine\n")
        assert b"[relay] attempt 1: the task ended with exit code 5; retry 1 of 2 in " in err
        lines = [json.loads(line) for line in near.communicate(timeout=20)[0].splitlines()]
    told = [(each["stream"], each["data"].partition(";")[0]) for each in lines if "stream" in each]
    assert told[:2] == [("out", "long\n"), ("note", "attempt 1: the task ended with exit code 5")]
    assert "".join(data for stream, data in told[2:] if stream == "out") == "begun\nfine\n"


def test_what_has_ended_is_shown(scene: Scene) -> None:
    spawn = scene.shell("echo over; exit 4", "--tty", status=4)["id"]
    done = relay(scene.laptop, "attach", spawn)
    assert done.returncode == 4 and b"over\r\n" in done.stdout


def test_a_machine_out_of_reach_is_said_soon(scene: Scene) -> None:
    spawn = scene.begin("sleep 60", "--tty")
    scene.until(spawn, "running")
    scene.vps.kill()
    processes.wait_until(lambda: scene.laptop.status()["links"] == 0, 10, "the link to be seen gone")
    done = relay(scene.laptop, "--json", "attach", spawn)
    assert done.returncode == 1 and error_of(done)["code"] == "unreachable"
    assert "never queued" in error_of(done)["why"] and error_of(done)["message"] == "vps cannot be reached now"
    scene.vps.start()
    scene.linked()
    relay_json(scene.laptop, "stop", spawn)


def test_a_line_that_waits_for_its_machine_is_looked_for_where_its_fate_is_told(scene: Scene) -> None:
    spawn = scene.begin("read line; echo got $line; sleep 60", "--stdin")
    scene.until(spawn, "running")
    scene.vps.kill()
    processes.wait_until(lambda: scene.laptop.status()["links"] == 0, 10, "the link to be seen gone")
    done = relay(scene.laptop, "send", spawn, "hello")
    assert done.stdout == b"Queued: vps has not said yet what came of it.\n"
    scene.vps.start()
    scene.linked()
    look = done.stderr.decode().partition("look again: relay ")[2].split()
    processes.wait_until(lambda: b"said=sent to" in relay(scene.laptop, *look).stdout, 10, "its fate to be told")
    relay_json(scene.laptop, "stop", spawn)


def test_unknown_words_of_a_key(scene: Scene) -> None:
    done = relay(scene.laptop, "--json", "attach", "x", "--detach-key", "enter")
    assert done.returncode == 2 and error_of(done)["code"] == "usage"
