"""A GraphQL door onto AWS Clean Rooms ML.

entry     who is asking?            HTTP request -> Caller
graph     what may be asked?        query        -> PageRequest
upstream  where does it come from?  PageRequest  -> Page
check     what is the matter?       settings     -> report
sandbox   an emulator of the upstream, for development, demos and tests
"""

__version__ = "0.1.0"
