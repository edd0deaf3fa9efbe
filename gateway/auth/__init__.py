"""Authentication: from a request's headers to the caller whose credentials sign the AWS calls."""
