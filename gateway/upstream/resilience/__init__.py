"""Rate limits, circuit breakers and retries for the calls of all callers."""
