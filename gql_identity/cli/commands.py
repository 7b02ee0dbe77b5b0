"""`main`, and the parser of the commands; each group of commands is a file."""

import argparse
import io
import os
import sys
from collections.abc import Sequence
from typing import Any

from ..errors import ServiceError, StartError
from ..server.standard_streams import open_standard_streams
from ..version import version
from . import audit, cloudforet, keys, new_secrets, peppers, schemas, serving, transfer, upkeep


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command. Exits with 0 on success, 1 on failure and 2 for wrong arguments."""
    open_standard_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):  # what its encoding does not have is no failure
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = _run(arguments)
    except BrokenPipeError:  # the reader of the output, such as `head`, has enough
        code = 1
    except OSError as error:  # a directory of another user, a full disk
        named = f"{error.filename}: " if error.filename else ""
        print(f"gql-identity: {named}{error.strerror or error}.", file=sys.stderr)
        code = 1
    except KeyboardInterrupt:
        code = 130  # as a shell tells it
    _drop_output()
    sys.exit(code)


def _run(arguments: Sequence[str] | None) -> Any:
    """Run a command, and return its exit code. Raises OSError and KeyboardInterrupt."""
    try:
        options = _parser().parse_args(arguments)
        code = options.run(options)
    except (StartError, ServiceError) as error:
        reason = getattr(error, "reason", None)
        print(f"gql-identity: {error}{f' The reason: {reason}' if reason else ''}", file=sys.stderr)
        return 1
    except SystemExit as end:  # of wrong arguments, or of --help
        code = end.code
    sys.stdout.flush()
    return code


def _drop_output() -> None:
    """Drop the output that cannot be written: Python would try again at its end, and print an error of its own."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gql-identity", description="API keys as a GraphQL service.")
    parser.add_argument("--version", action="version", version=f"gql-identity {version()}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for group in (serving, schemas, new_secrets, keys, audit, upkeep, peppers, transfer, cloudforet):
        group.add_commands(commands)
    return parser
