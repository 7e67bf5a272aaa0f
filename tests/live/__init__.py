"""What is live between a person and a task: attach, forward, followers."""
