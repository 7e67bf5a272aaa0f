"""Brokers, fork servers and shims killed at random; `make chaos` runs the long form."""
