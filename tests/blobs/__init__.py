"""Files that travel between brokers."""
