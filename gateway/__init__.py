"""A GraphQL gateway in front of AWS Clean Rooms ML.

A request passes `server`, `http`, `auth`, `graph` and `upstream`, in this order, and imports point
the same way. `doctor` checks a configuration; `sandbox` emulates the upstream.
"""

__version__ = "0.1.0"
