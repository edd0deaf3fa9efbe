"""Structured logs, Prometheus metrics and optional OpenTelemetry traces."""
