"""API keys as a GraphQL service over MongoDB."""
