"""The command `schema`."""

import argparse
import sys
from pathlib import Path

from ..command import own_command
from ..errors import StartError
from ..schema.federation import schema, subgraph_sdl
from .arguments import Commands


def add_commands(commands: Commands) -> None:
    """Add the command."""
    exported = commands.add_parser("schema", help="print the schema")
    exported.add_argument("--subgraph", action="store_true", help="print the subgraph schema, `_service.sdl`")
    exported.add_argument(
        "--scopes", action="store_true", help="with --subgraph: fields have @requiresScopes, as with the setting"
    )
    exported.add_argument("--check", type=Path, metavar="FILE", help="only check that FILE equals the schema")
    exported.set_defaults(run=_schema)


def _schema(options: argparse.Namespace) -> int:
    if options.scopes and not options.subgraph:
        print("gql-identity: give --scopes with --subgraph.", file=sys.stderr)
        return 2
    text = (subgraph_sdl(schema, scopes=options.scopes) if options.subgraph else schema.as_str()) + "\n"
    if options.check is None:
        print(text, end="")
        return 0
    try:
        if options.check.read_text(errors="replace") == text:
            return 0
    except OSError as error:
        raise StartError(f"{options.check} cannot be read: {error.strerror}.") from None
    command = (
        f"{own_command()} schema{' --subgraph' if options.subgraph else ''}{' --scopes' if options.scopes else ''}"
    )
    print(f"{options.check} differs from the schema. Regenerate it with `{command}`.", file=sys.stderr)
    return 1
