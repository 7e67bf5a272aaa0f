"""Real brokers, the real `relay` command, and what a person or a script sees of them."""
