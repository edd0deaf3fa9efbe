"""Reads of Clean Rooms ML: a RequestLoader per request, over one CachedClient of the process.

The CachedClient calls AWS through a ResilientClient, which uses a CleanRoomsClient.
"""
