"""Blobs: files too long for an envelope, kept by content, offered by one broker, pulled by another.

    take in ─▶ files + row ─▶ offer (durable) ──▶ download ─▶ want / have / chunk (live) ─▶ files + row ─▶ write out

`files` is the disk, `library` what is here and what may be collected, `offers` who may have what, `serving` and
`downloads` the two ends of a pull, `room` all of it behind one door. What to ask for next is decided in
`relay.core.pulling`.
"""
