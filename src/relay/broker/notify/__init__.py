"""Telling a person who is away: channels, what is told over them, and how that went.

    a journal entry that ends a spawn ── rules ──► a delivery row, in the same transaction
    courier: due? ── begun (durable) ──► a child process sends ──► how it went (durable) ── again, or another channel

Nouns: a *channel* is an address with rules; it is *entrusted* to other brokers that tell in its owner's stead; a
*delivery* is one event over one channel; a *voucher* is what lets a third broker tell of a spawn.
"""
