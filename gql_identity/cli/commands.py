"""`main`, and the parser of the commands; each group of commands is a file."""

import argparse
import importlib.metadata
import sys
from collections.abc import Sequence

from ..errors import ServiceError, StartError
from . import keys, schemas, serving, upkeep

_PACKAGE = "gql-identity"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command. Exits with 0 on success, 1 on failure and 2 for wrong arguments."""
    options = _parser().parse_args(arguments)
    try:
        code = options.run(options)
    except (StartError, ServiceError) as error:
        print(f"gql-identity: {error}", file=sys.stderr)
        code = 1
    sys.exit(code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gql-identity", description="API keys as a GraphQL service.")
    parser.add_argument("--version", action="version", version=f"gql-identity {importlib.metadata.version(_PACKAGE)}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for group in (serving, schemas, keys, upkeep):
        group.add_commands(commands)
    return parser
