"""`python -m relay.mcp_server.host --home DIR`: started by the broker of that home, where something is shared."""

from __future__ import annotations

import argparse
import asyncio
import logging
import logging.handlers
import os
import signal
import sys

from relay.api import tools_folder
from relay.api.home import Home
from relay.mcp_server.host import keeper
from relay.mcp_server.host.program import Program
from relay.mcp_server.host.share import JSON, Share, Wanted, chosen
from relay.spawn.shim import kernel, processes

LOG_BYTES = 512 << 10
ANOTHER_RUNS = 3
_log = logging.getLogger("relay.mcp_server.host")


class Host:
    """The shares of one home, and the program that offers them.

    Args:
        home: whose.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._shares: dict[str, Share] = {}
        self._program = Program(home, self._share_of, self._offers, self._tell)
        self._look = asyncio.Event()
        self._before = tools_folder.read(home, tools_folder.STANDING)

    async def run(self) -> None:
        """Serve until the broker has no more use for it, or is gone for good, or a signal comes."""
        loop = asyncio.get_running_loop()
        signalled = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, signalled.set)
        loop.add_signal_handler(signal.SIGHUP, self._look.set)
        following = loop.create_task(self._follow())
        serving = loop.create_task(self._program.run())
        ending = loop.create_task(signalled.wait())
        try:
            done, _ = await asyncio.wait([ending, following, serving], return_when=asyncio.FIRST_COMPLETED)
            _log.info("ending: %s", "a signal" if ending in done else done.pop().result())
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            await asyncio.gather(*(share.close() for share in self._shares.values()))
            await self._program.settled()  # how its calls ended, its broker is still told
            for task in (ending, serving):
                task.cancel()
            await asyncio.gather(ending, serving, return_exceptions=True)
            await self._program.close()

    async def _follow(self) -> str:
        """Be what `shares.json` says, now and whenever it is said to be another; until there is nothing in it."""
        while True:
            self._look.clear()
            wanted = {each.name: each for each in _wanted(tools_folder.read(self._home, tools_folder.SHARES))}
            leaving = self._replaced(wanted)
            self._changed()
            await asyncio.gather(*(share.close() for share in leaving))
            for share in self._shares.values():
                share.open()
            if not wanted:
                return "nothing is shared"
            await self._look.wait()

    def _replaced(self, wanted: dict[str, Wanted]) -> list[Share]:
        """Have what is wanted in the place of what there is; the shares that this leaves, which are to be closed.

        Another choice of a server's tools is no reason to start it again; and what is called while another one is
        started waits for it.
        """
        before, self._shares = self._shares, {}
        for name, each in wanted.items():  # in their order: the first keeps a name
            share = before.get(name)
            is_same = share is not None and share.wanted.is_server_of(each)
            self._shares[name] = before.pop(name) if is_same else self._made(each, share)
        for name, share in self._shares.items():
            share.choose(wanted[name])
        return list(before.values())

    def _made(self, wanted: Wanted, in_place_of: Share | None) -> Share:
        return Share(wanted, self._home, self._former(wanted, in_place_of), self._changed)

    def _former(self, wanted: Wanted, leaving: Share | None) -> tuple[JSON, ...]:
        """What a server offered when it ran last, here or in an earlier host; nothing where it was another one."""
        standing = self._before.get(wanted.name) if isinstance(self._before, dict) else None
        if leaving is not None and leaving.wanted.command == wanted.command:
            return chosen(wanted, leaving.standing.offers)
        if standing is None or standing["of"] != [list(wanted.command), list(wanted.only)]:
            return ()
        return tuple(standing["offers"])

    def _changed(self) -> None:
        self._tell()
        self._program.changed()

    def _tell(self) -> None:
        holders = {offer["name"]: offer["share"] for offer in self._offers()}
        standing = {name: _standing(share, self._program.refused, holders) for name, share in self._shares.items()}
        try:
            tools_folder.write(self._home, tools_folder.STANDING, standing)
        except OSError as fault:
            _log.warning("how the shares stand could not be written: %s", fault)

    def _offers(self) -> list[JSON]:
        found: dict[str, JSON] = {}
        for share in self._shares.values():
            for offer in share.standing.offers:
                found.setdefault(offer["name"], offer)
        return list(found.values())

    def _share_of(self, tool: str) -> Share | None:
        offer = next((each for each in self._offers() if each["name"] == tool), None)
        return None if offer is None else self._shares.get(offer["share"])


def _wanted(document: object) -> list[Wanted]:
    listed = document if isinstance(document, list) else []
    return [
        Wanted(each["name"], tuple(each["command"]), tuple(each["only"]), tuple(sorted(each["env"].items())))
        for each in listed
    ]


def _standing(share: Share, refused: dict[str, str], holders: dict[str, str]) -> JSON:
    names, own = {each["name"] for each in share.standing.offers}, share.wanted.name
    refused = refused | {name: f"the share {holders[name]} has it" for name in names if holders[name] != own}
    not_served = [f"{name} is not served: {why}" for name, why in refused.items() if name in names]
    return {
        "of": [list(share.wanted.command), list(share.wanted.only)],
        "offers": list(share.standing.offers),
        "running": share.standing.running,
        "reason": "; ".join(filter(None, (share.standing.reason, *not_served))),
    }


def _start_logging(home: Home) -> None:
    path = os.path.join(home.tools, tools_folder.LOG)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
    handler = logging.handlers.RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=1)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for noisy in ("asyncio", "client", "mcp"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)


def main() -> int:
    """Run the host; 3 where another one of this home runs already."""
    parser = argparse.ArgumentParser(prog="relay.mcp_server.host", description="Started by the broker.")
    parser.add_argument("--home", required=True)
    home = Home(parser.parse_args().home)
    kernel.forbid_dumps()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # of who has the lock: what is said before it listens it reads anyway
    lock = tools_folder.take(home, processes.ticks(os.getpid()))
    if lock is None:
        return ANOTHER_RUNS
    _start_logging(home)
    if (left := keeper.sweep(home.path)) > 0:
        _log.warning("%d processes of an earlier host were ended", left)
    asyncio.run(Host(home).run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
