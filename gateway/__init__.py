"""A GraphQL door onto AWS Clean Rooms ML.

entry     who is asking?            HTTP request -> Caller
graph     what may be asked?        query        -> PageRequest
upstream  where does it come from?  PageRequest  -> Page
sandbox   an emulator of the upstream, for development, demos and tests
"""

__version__ = "0.1.0"
