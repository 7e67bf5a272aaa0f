"""Bytes nobody should send: at the decoders, and at a live port."""
