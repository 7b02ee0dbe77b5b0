"""How the reader of a message calls this program."""

import shutil
import sys
from contextlib import suppress
from pathlib import Path

NAME = "gql-identity"


def own_command() -> str:
    """The command of this program as it works in the current folder, such as `.venv/bin/gql-identity` in a clone.

    Just `gql-identity` if that is on the PATH, or if another program, such as a server, runs the application.
    """
    program = Path(sys.argv[0]).absolute()
    if program.parts[-2:] == ("gql_identity", "__main__.py"):  # python -m gql_identity
        return f"{_short(Path(sys.executable))} -m gql_identity"
    if program.name != NAME:
        return NAME
    found = shutil.which(NAME)
    return NAME if found is not None and Path(found).resolve() == program.resolve() else _short(program)


def _short(program: Path) -> str:
    with suppress(ValueError, OSError):
        return str(program.relative_to(Path.cwd()))
    return str(program)
