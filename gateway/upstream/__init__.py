"""Reads of Clean Rooms ML: a RequestLoader per request, over one CachedClient of the process.

The CachedClient calls through a ResilientClient, that through a CleanRoomsClient.
"""
