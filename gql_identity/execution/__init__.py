"""Executing documents of any Strawberry schema; knows nothing of keys."""
