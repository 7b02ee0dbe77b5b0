"""The query language becomes filters, sorts and pipelines; pure."""
