"""Cached reads of the upstream, in this process or in a Redis that replicas share."""
