"""Runners, shared tools and calls, over real brokers and programs."""
