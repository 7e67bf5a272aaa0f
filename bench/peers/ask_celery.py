"""Asks a Celery worker."""

from __future__ import annotations

from bench.peers.asked import serve
from bench.peers.celery_jobs import run

if __name__ == "__main__":
    serve(run.delay, lambda result: int(result.get(timeout=30)))
