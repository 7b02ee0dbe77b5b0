"""The query language becomes filters, sorts and pipelines of the database. Pure: nothing here reads it."""
