"""`gateway check`: tries what the gateway depends on, and reports causes and remedies."""
