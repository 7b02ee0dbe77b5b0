"""Tokens: short-lived JWTs for keys (RFC 9068), and those of people. Imported only where an issuer is set."""
