"""SIGHUP: the settings are read again, or the terminal that `serve` was started from is gone."""

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

_TERMINAL = "/dev/tty"  # of this process, if it has one


def expect_hang_up() -> None:
    """From now on SIGHUP stops this process, as SIGTERM does, only if its terminal is gone.

    Someone who closes the window of `serve` means it to stop. Without a terminal, as under systemd or in a container,
    and under nohup, SIGHUP is only sent to have the settings read again. It is blocked until something unblocks it
    which reads them, so that none is lost while the service starts.
    """
    if sys.platform == "win32":
        return
    is_bound = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN and _has_terminal()

    def handle(_number: int, _frame: FrameType | None) -> None:
        if is_bound and not _has_terminal():
            os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGHUP, handle)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})


def then(act: Callable[[], Any], before: Any) -> Callable[[int, FrameType | None], None]:
    """A handler of a signal that does this, and then what the handler before does."""

    def handle(number: int, frame: FrameType | None) -> None:
        act()
        if callable(before):
            before(number, frame)

    return handle


def _has_terminal() -> bool:
    with suppress(OSError):
        os.close(os.open(_TERMINAL, os.O_RDONLY | os.O_NOCTTY))
        return True
    return False
