"""Reading settings again on SIGHUP, while the service runs: all that changed is taken over, or nothing is."""

import asyncio
import signal
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import structlog

from .environment import READ_AGAIN
from .errors import ServiceError, StartError
from .server.hangup import then
from .settings import Settings

log = structlog.get_logger()


@asynccontextmanager
async def reloading(
    settings: Settings, read_again: Callable[[Settings], Settings] | None, take: Callable[[Settings], Awaitable[None]]
) -> AsyncIterator[None]:
    """Until the block ends: on SIGHUP read the settings again and give them to `take`; requests go on meanwhile.

    Both may raise StartError, and `take` ServiceError too: then it has changed nothing, and the log says why. Does
    nothing without `read_again`, outside the main thread, and on Windows.
    """
    if read_again is None or threading.current_thread() is not threading.main_thread() or sys.platform == "win32":
        yield
        return
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    before = signal.getsignal(signal.SIGHUP)
    signal.signal(signal.SIGHUP, then(lambda: loop.call_soon_threadsafe(asked.set), before))
    # A worker process begins with SIGHUP blocked, so that one which came too early waits until now.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
    task = asyncio.create_task(_keep_reading(asked, settings, read_again, take))
    try:
        yield
    finally:
        # The process stops: by default one more SIGHUP would end it within its last writes.
        signal.signal(signal.SIGHUP, before if callable(before) else signal.SIG_IGN)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _keep_reading(
    asked: asyncio.Event,
    settings: Settings,
    read_again: Callable[[Settings], Settings],
    take: Callable[[Settings], Awaitable[None]],
) -> None:
    while True:
        await asked.wait()
        asked.clear()
        try:
            found = await asyncio.to_thread(read_again, settings)
            await take(found)
        except (StartError, ServiceError) as error:
            log.error("the settings were not read again", reason=str(error))
        except Exception as error:  # of a file system, for one; the next SIGHUP must still be heard
            log.error("the settings were not read again", exc_info=error)
        else:
            changed = [name for name in READ_AGAIN if getattr(found, name) != getattr(settings, name)]
            settings = found
            log.info("the settings were read again", changed=changed)
