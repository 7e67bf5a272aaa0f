"""Asks a Ray cluster of this machine alone."""

from __future__ import annotations

import subprocess
import sys

import ray

from bench.peers.asked import serve


@ray.remote  # type: ignore[untyped-decorator]
def run() -> int:
    """Run `/bin/true`; its exit status."""
    return subprocess.run(["/bin/true"], check=False).returncode


if __name__ == "__main__":
    ray.init(
        _node_ip_address="127.0.0.1",
        _temp_dir=sys.argv[1],
        include_dashboard=False,
        configure_logging=False,
        log_to_driver=False,
    )
    try:
        serve(run.remote, lambda reference: int(ray.get(reference, timeout=30)))
    finally:
        ray.shutdown()
