"""The object types, one module each; `fields` declares their fields, `resource_type` reads them."""
