"""The commands."""

import gc
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command. Exits with 0 on success, 1 on failure and 2 for wrong arguments."""
    # Imports make many objects and hardly any garbage: collections took an eighth of their time.
    gc.disable()
    from .commands import main as run

    if arguments is None:  # a process of its own
        # What they made lasts. A collection would search all of it, for a tenth of a second.
        gc.freeze()
    gc.enable()
    run(arguments)
