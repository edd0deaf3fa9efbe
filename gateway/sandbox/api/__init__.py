"""The emulated API: the service models, validation of inputs, and the operations."""
