"""The callers and users of the sandbox, and the resources generated for their accounts."""
