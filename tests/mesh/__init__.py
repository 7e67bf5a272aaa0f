"""Links, outbox and inbox of real brokers in one process."""
