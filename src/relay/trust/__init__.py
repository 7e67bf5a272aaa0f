"""Who is who and who may do what.

identity     this broker's Ed25519 and X25519 keys          sealing   envelopes: sign, seal, verify, open
workspace    the shared key, its CA and its leaves          tls       contexts, and the gate before the first byte
hello        the signed first frame of a link               roster    signed statements: admit, evict
pairing      a new machine joins by a link                  grants    trust.toml, the allowlist
audit        the hash-chained log of decisions              signing   signed blocks; keyfile: files of mode 0600

Way in of a byte: TLS (workspace certificate) → `admit_connection` → hello → roster → envelope signature →
grant. Each floor refuses with `PeerFault` or `Refused`; what this machine has wrong is a `LocalFault`.
"""
