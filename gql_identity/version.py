"""The version of the service, from the metadata of the installed package."""

import importlib.metadata
from functools import cache


@cache
def version() -> str:
    """The version, such as `1.2.0`; `unknown` if the code runs without being installed."""
    try:
        return importlib.metadata.version("gql-identity")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
