"""The seed's messages as Strawberry types: the only record classes."""
