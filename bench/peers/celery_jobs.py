"""The job as a Celery task; Redis is where the environment says."""

from __future__ import annotations

import os
import subprocess

from celery import Celery

app = Celery("bench", broker=os.environ["BENCH_REDIS"], backend=os.environ["BENCH_REDIS"])


@app.task  # type: ignore[untyped-decorator]
def run() -> int:
    """Run `/bin/true`; its exit status."""
    return subprocess.run(["/bin/true"], check=False).returncode
