"""The schema, continued: what says that an attempt may have begun, where its record does not. As in `schema`."""

from __future__ import annotations

VERSION_20 = """
-- the boot of this machine in which it was to begin at once, without a promise on the disk; NULL where that is synced
ALTER TABLE attempts ADD COLUMN boot TEXT;
"""
