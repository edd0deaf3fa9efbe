"""Relay connections over lists that AWS pages forward only."""
