"""The simulated core."""
