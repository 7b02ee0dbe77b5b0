"""`main`, and the parser of the commands; each group of commands is a file."""

import argparse
import os
import sys
from collections.abc import Sequence

from ..errors import ServiceError, StartError
from ..server.standard_streams import open_standard_streams
from ..version import version
from . import audit, cloudforet, keys, new_secrets, peppers, schemas, serving, transfer, upkeep


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command. Exits with 0 on success, 1 on failure and 2 for wrong arguments."""
    open_standard_streams()
    options = _parser().parse_args(arguments)
    try:
        code = options.run(options)
    except (StartError, ServiceError) as error:
        reason = getattr(error, "reason", None)
        print(f"gql-identity: {error}{f' The reason: {reason}' if reason else ''}", file=sys.stderr)
        code = 1
    except BrokenPipeError:
        # The reader of the output, such as `head`, has enough. Python would say so once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except OSError as error:  # a directory of another user, a full disk
        named = f"{error.filename}: " if error.filename else ""
        print(f"gql-identity: {named}{error.strerror or error}.", file=sys.stderr)
        code = 1
    except KeyboardInterrupt:
        code = 130  # as a shell tells it
    sys.exit(code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gql-identity", description="API keys as a GraphQL service.")
    parser.add_argument("--version", action="version", version=f"gql-identity {version()}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for group in (serving, schemas, new_secrets, keys, audit, upkeep, peppers, transfer, cloudforet):
        group.add_commands(commands)
    return parser
