"""The object types, one module each. `resource_type` declares and reads their fields."""
