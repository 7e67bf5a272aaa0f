"""`relay config` beside a broker that runs: the file's word and the broker's are told apart."""

from __future__ import annotations

from tests.e2e.scene import Scene, relay_json


def test_a_setting_that_the_running_broker_holds_otherwise_is_told_with_both_values(two: Scene) -> None:
    laptop = two.laptop
    before = laptop.relay("config", "get", "max_parallel")
    assert before.stderr == ""
    held = before.stdout.strip()
    laptop.relay("config", "set", "max_parallel", "57")
    laptop.relay("config", "set", "slots.claude", "2")
    try:
        done = laptop.relay("config", "get", "max_parallel")
        assert done.stdout == "57\n"
        assert done.stderr == f"the broker that runs holds max_parallel = {held} until it is started again\n"
        assert "holds slots.claude = none" in laptop.relay("config", "get", "slots.claude").stderr
        listed = laptop.relay("config", "list")
        assert "max_parallel = 57\n" in listed.stdout and f"holds max_parallel = {held} until" in listed.stderr
        assert "blob_quota" not in listed.stderr
        laptop.restart()
        assert laptop.relay("config", "list").stderr == ""
    finally:
        laptop.relay("config", "set", "max_parallel", held)
        file = laptop.home / "config.toml"
        file.write_text("\n".join(line for line in file.read_text().split("\n") if "claude = 2" not in line))
        laptop.restart()


def test_sizes_are_read_as_they_are_typed_and_are_bytes_in_json(two: Scene) -> None:
    listed = two.laptop.relay("config", "list").stdout
    assert "blob_quota = 10GiB\n" in listed and "log_limit = 256MiB\n" in listed
    assert two.laptop.relay("config", "get", "blob_quota").stdout == "10GiB\n"
    assert relay_json(two.laptop, "config", "get", "blob_quota") == 10 * 2**30


def test_addresses_of_nobody_are_told_at_once_and_by_doctor(two: Scene) -> None:
    laptop = two.laptop
    file = laptop.home / "config.toml"
    before = file.read_text()
    try:
        assert "no member" not in laptop.relay("config", "set", "peers.vps", "127.0.0.1:9").stderr
        said = laptop.relay("config", "set", "peers.vsp", "127.0.0.1:9").stderr
        assert "no member is called vsp now; these addresses are of use once one is\n" in said
        laptop.restart()
        found = {each["name"]: each for each in laptop.relay_json("doctor", check=False)}
        assert found["peers in config.toml"]["ok"] is False
        assert found["peers in config.toml"]["detail"] == "no member is called vsp"
    finally:
        file.write_text(before)
        laptop.restart()
