"""Authentication: SigV4 signatures, the OIDC issuer, and STS with its sessions."""
