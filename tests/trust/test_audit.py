import pytest

from relay.core.errors import PeerFault
from relay.core.hello import AuditHead
from relay.trust.audit import (
    EMPTY,
    AuditEntry,
    entry_from_bytes,
    entry_hash,
    is_cut,
    is_signed_head,
    sign_head,
    verify_chain,
)

from .seeds import LAPTOP, NOW, ROOT

Row = tuple[int, bytes, bytes]


def log(length: int = 5) -> list[Row]:
    rows: list[Row] = []
    previous = EMPTY.hash
    for seq in range(1, length + 1):
        data = AuditEntry(seq, NOW, "laptop", "spawn", "refused", "no_grant", f"try {seq}").to_bytes()
        previous = entry_hash(previous, data)
        rows.append((seq, data, previous))
    return rows


def test_a_whole_log_verifies() -> None:
    assert verify_chain([]) is None
    assert verify_chain(log()) is None
    rows = log()
    assert verify_chain(rows[2:], AuditHead(2, rows[1][2])) is None


def test_a_changed_missing_or_moved_row_is_named() -> None:
    rows = log()
    forged = AuditEntry(3, NOW, "laptop", "spawn", "allowed").to_bytes()
    assert verify_chain([*rows[:2], (3, forged, rows[2][2]), *rows[3:]]) == 3
    assert verify_chain([*rows[:2], (3, forged, entry_hash(rows[1][2], forged)), *rows[3:]]) == 4
    assert verify_chain([*rows[:2], *rows[3:]]) == 3
    assert verify_chain([rows[1], rows[0], *rows[2:]]) == 1
    assert verify_chain([(9, rows[0][1], rows[0][2])]) == 1
    assert verify_chain([(1, b"rubbish", rows[0][2])]) == 1


def test_an_entry_is_read_as_it_was_written_and_bounded() -> None:
    entry = AuditEntry(1, NOW, "laptop", "spawn", "refused", "no_grant", "because")
    assert entry_from_bytes(entry.to_bytes()) == entry
    long = AuditEntry(1, NOW, "laptop", "spawn", "refused", "", "\U0001f600" * 9000)
    assert len(entry_from_bytes(long.to_bytes()).detail) == 2000
    with pytest.raises(PeerFault):
        entry_from_bytes(b"\x93\x01\x02\x03")


def test_heads_are_signed_and_show_a_cut_tail() -> None:
    rows = log()
    head = AuditHead(5, rows[4][2])
    signature = sign_head(ROOT, head)
    assert is_signed_head(ROOT.public, head, signature)
    assert not is_signed_head(LAPTOP.public, head, signature)
    assert not is_signed_head(ROOT.public, AuditHead(4, head.hash), signature)
    assert is_cut(head, AuditHead(4, rows[3][2]))
    assert is_cut(head, AuditHead(5, rows[3][2]))
    assert not is_cut(head, head) and not is_cut(EMPTY, head)
