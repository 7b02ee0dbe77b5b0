"""The messages of the seed document (Cloudforet's API keys) as Strawberry types: the only record classes."""
