"""Strangers who hold connections open and say nothing, half of it or garbage: members link all the same."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from relay.broker.openings import MAX_OPENING
from relay.testing.netns.brokers import InternetMesh
from relay.testing.netns.watching import linked_after
from relay.testing.node import Node
from tests.netns.scene import Task, pair

CONNECTIONS = 300
LINKED_WITHIN = 10.0
# 256 KiB for each that is opening, was just accepted, or failed since the last collection, and its TLS
MOST_MORE_BYTES = 160 * 1024 * 1024
# asyncio accepts 100 in one go, and closes those that gave way two rounds later; and what links and tasks have open
SPARE_FILES = 300

# Keeps that many connections open to one port, a third silent, a third with half a TLS hello, a third with garbage;
# those that are ended are opened anew. A line of output a second: how many were ever opened.
_FLOOD = """
import os, selectors, socket, ssl, sys, time
host, port, wanted = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
given, made = ssl.MemoryBIO(), ssl.MemoryBIO()
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
try:
    context.wrap_bio(given, made).do_handshake()
except ssl.SSLWantReadError:
    hello = made.read()
openings = [b"", hello[: len(hello) // 2], os.urandom(2000)]
count, told, held = 0, 0.0, selectors.DefaultSelector()
while True:
    while len(held.get_map()) < wanted:
        each = socket.socket()
        each.setblocking(False)
        each.connect_ex((host, port))
        held.register(each, selectors.EVENT_WRITE, openings[count % 3])
        count += 1
    for key, events in held.select(0.2):
        try:
            if events & selectors.EVENT_WRITE:
                key.fileobj.send(key.data)
                held.modify(key.fileobj, selectors.EVENT_READ)
                continue
            if key.fileobj.recv(4096):
                continue
        except OSError:
            pass
        held.unregister(key.fileobj)
        key.fileobj.close()
        time.sleep(0.002)
    if time.monotonic() > told + 1:
        told = time.monotonic()
        print(count, flush=True)
"""


@contextmanager
def _flood(mesh: InternetMesh, site: str, victim: Node) -> Iterator[subprocess.Popen[str]]:
    words = (mesh.internet.sites[victim.name].address, str(victim.port), str(CONNECTIONS))
    command = mesh.command(site, "-c", _FLOOD, *words)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as flood:
        assert flood.stdout is not None
        try:
            while int(flood.stdout.readline()) < CONNECTIONS:
                pass
            yield flood
        finally:
            flood.kill()


def test_a_flood_of_strangers(mesh: InternetMesh) -> None:
    """300 connections that never say who they are: a member links, works, and the broker stays small."""
    for name in ("vps", "laptop", "stranger"):
        mesh.internet.site(name)
    vps, laptop = pair(mesh, "vps", "laptop")
    assert vps.process is not None
    broker = psutil.Process(vps.process.pid)
    files, memory = broker.num_fds(), broker.memory_info().rss
    laptop.stop()
    with _flood(mesh, "stranger", vps) as flood:
        laptop.start()
        took = linked_after(laptop, vps, LINKED_WITHIN)
        most_files, most_memory, began = 0, 0, time.monotonic()
        while time.monotonic() - began < 3:
            Task.asked(laptop, vps).ended_once()
            most_files = max(most_files, broker.num_fds())
            most_memory = max(most_memory, broker.memory_info().rss)
        assert flood.poll() is None
    print(
        f"\nflood: linked after {took:.2f} s, {most_files - files} more files, {(most_memory - memory) >> 20} MiB more"
    )
    assert most_files <= files + MAX_OPENING + SPARE_FILES
    assert most_memory <= memory + MOST_MORE_BYTES
