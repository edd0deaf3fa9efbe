"""Faults: their effects on calls, and the registry of known and active ones."""
