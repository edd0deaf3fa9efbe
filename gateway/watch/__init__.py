"""Watching: things of callers, polled while clients subscribe to them."""
