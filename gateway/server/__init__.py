"""uvicorn with graceful draining, and with limits on every client connection."""
