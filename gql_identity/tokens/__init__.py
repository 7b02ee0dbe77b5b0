"""Tokens: short-lived JWTs for keys (RFC 9068), and the keys that sign them. Imported only where an issuer is set."""
