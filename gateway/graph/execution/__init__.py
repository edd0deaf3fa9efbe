"""Running a request: parse, check limits, validate, estimate the cost, execute."""
