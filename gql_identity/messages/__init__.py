"""Cloudforet's messages of API keys as Strawberry types: the only classes for records."""
