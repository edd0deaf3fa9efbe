"""Faults on demand: what they do to a call, and which of them are on."""
