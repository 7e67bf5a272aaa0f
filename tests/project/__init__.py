"""What holds for the source tree as a whole, beside lint, types and floors."""
