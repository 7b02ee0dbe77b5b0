"""Translates the query language to filters, sorts and pipelines of the database. No I/O."""
