"""`tailscale serve`: a port of this machine's loopback, over HTTPS to the machines of its tailnet."""

from __future__ import annotations

import json
import shutil
import subprocess

from relay.core.errors import Code, LocalFault

COMMAND = "tailscale"
SERVE_S, STATUS_S = 30.0, 10.0
MOST_SAID = 400


def command(port: int) -> str:
    """Where the program is.

    Args:
        port: of the dashboard, for the way around.

    Raises:
        LocalFault: `no_tailscale`: it is not installed.
    """
    path = shutil.which(COMMAND)
    if path is None:
        raise LocalFault(
            "there is no tailscale on this machine",
            code=Code.NO_TAILSCALE,
            why="the dashboard is published by it: it has the name, the certificate, and asks who comes",
            hint=f"install it; or on the other machine: ssh -N -L {port}:127.0.0.1:{port} THIS_MACHINE, "
            f"then relay dashboard --no-open here and its link there",
        )
    return path


def serve(program: str, port: int) -> str:
    """Serve this port; the origin that it then has, `https://HOST`.

    Raises:
        LocalFault: `publish_failed`.
    """
    _run([program, "serve", "--bg", str(port)], SERVE_S)
    return f"https://{_name(_run([program, 'status', '--json'], STATUS_S))}"


def stop(program: str) -> None:
    """Serve it no more.

    Raises:
        LocalFault: `publish_failed`.
    """
    _run([program, "serve", "--https=443", "off"], SERVE_S)


def _run(words: list[str], seconds: float) -> str:
    try:
        ran = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as late:
        # it waits for a person who is to allow it on a web page, whose address it has said
        raise _failed(words, _said(late.stdout, late.stderr) or f"no answer in {seconds:g} s") from None
    except OSError as fault:
        raise _failed(words, str(fault)) from None
    if ran.returncode:
        raise _failed(words, _said(ran.stdout, ran.stderr) or f"exit status {ran.returncode}")
    return ran.stdout.decode("utf-8", "replace")


def _said(*texts: bytes | None) -> str:
    text = " ".join(each.decode("utf-8", "replace") for each in texts if each)
    return " ".join(text.split())[-MOST_SAID:]


def _failed(words: list[str], why: str) -> LocalFault:
    line = " ".join([COMMAND, *words[1:]])
    return LocalFault(
        f"`{line}` did not work", code=Code.PUBLISH_FAILED, why=why, hint=f"run it yourself, and read on: {line}"
    )


def _name(text: str) -> str:
    try:
        own = json.loads(text)["Self"]["DNSName"].rstrip(".").lower()
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        own = ""
    if not own:
        raise LocalFault(
            "this machine has no name in its tailnet",
            code=Code.PUBLISH_FAILED,
            why="`tailscale status --json` tells none",
            hint="tailscale status; MagicDNS and HTTPS are switched on in the tailnet's settings",
        )
    return str(own)
