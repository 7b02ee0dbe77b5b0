"""Attacks by streams and by the database's absence: slow readers, dead watchers, and what keeps the database."""

import asyncio
import json
import os
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path

from .attacks import Attack, attack, code
from .attacks_http import hold
from .attacks_websocket import LOST, SUBSCRIBE
from .wire import Connection, WebSocket

AWAY_SECONDS = 12.0
TOLD_SECONDS = 5.0  # within which a subscriber learns of a change, or that it can't be told
WIDE = "subscription($d: ID!) { apiKeyChanged(input: {domainId: $d}) { apiKeyInfo { " + (
    " ".join(f"n{n}: name" for n in range(30)) + " } } }"
)


async def toggle(run: Attack, times: int) -> bool:
    """Disable and enable a key so often, ten times a request; False where the service did not."""
    target = run.target
    key = f'(input: {{domainId: "{target.domain_id}", apiKeyId: "{target.key_ids[1]}"}}) {{ state }}'
    text = " ".join(f"d{n}: disableApiKey{key} e{n}: enableApiKey{key}" for n in range(min(times, 10)))
    connection = Connection(target.host, target.port)
    try:
        for _ in range(max(1, times // 10)):
            _, body = await connection.send(target.request(f"mutation {{ {text} }}"), 10)
            run.answers[f"changed {code(body)}".strip()] += 1
            if code(body):
                return False
    except LOST as error:
        run.answers[type(error).__name__] += 1
        return False
    finally:
        connection.close()
    return True


async def stuck_subscriber(run: Attack) -> socket.socket:
    """A subscriber over SSE that has stopped reading, with changes that fill all buffers."""
    target = run.target
    stuck = socket.socket()
    stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    stuck.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(stuck, (target.host, target.port))
    headers = f"Accept: text/event-stream\r\nAuthorization: Bearer {target.secret}\r\n"
    body = json.dumps({"query": WIDE, "variables": {"d": target.domain_id}}).encode()
    await loop.sock_sendall(stuck, target.post(body, headers))
    await asyncio.sleep(1)
    await toggle(run, 200)
    return stuck


@attack("stop-with-slow-reader", "13.6", stops=True, seconds=15, victim_counts=False)
async def slow_reader(run: Attack) -> None:
    """A subscriber over SSE stops reading; the service is told to stop meanwhile."""
    with await stuck_subscriber(run):
        await asyncio.sleep(max(0, run.until - time.monotonic()))


@attack("database-away", "13.7", seconds=25, victim_counts=False)
async def database_away(run: Attack) -> None:
    """The database is away for 12 s while one subscriber is stuck; then a new one subscribes."""
    with await stuck_subscriber(run):
        os.kill(run.target.engine_pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(AWAY_SECONDS)
        finally:
            os.kill(run.target.engine_pid, signal.SIGCONT)
        await asyncio.sleep(2)
        told = await _subscribed(run, until=time.monotonic() + TOLD_SECONDS, toggles=True)
        if told is None:
            run.broken = f"a new subscriber was told nothing for {TOLD_SECONDS:.0f} s"


@attack("database-hangs", "13.8", seconds=20, victim_counts=False)
async def database_hangs(run: Attack) -> None:
    """The database hangs: ten subscribers learn of it, all within their bound and with the same code."""
    until = time.monotonic() + 18
    waiting = [asyncio.create_task(_subscribed(run, until=until)) for _ in range(10)]
    await asyncio.sleep(1.5)
    os.kill(run.target.engine_pid, signal.SIGSTOP)
    began = time.monotonic()
    try:
        found = await asyncio.gather(*waiting)
    finally:
        os.kill(run.target.engine_pid, signal.SIGCONT)
    codes = {"nothing" if told is None else told[0] for told in found}
    last = max((told[1] - began for told in found if told), default=0)
    if codes != {"UNAVAILABLE"} or last > TOLD_SECONDS:
        run.broken = f"subscribers were told {', '.join(sorted(codes))}, the last after {last:.1f} s"


async def _subscribed(run: Attack, *, until: float, toggles: bool = False) -> tuple[str, float] | None:
    """What a subscriber is told first, a change or an error's code, and when; None where it is nothing."""
    changing = None
    try:
        async with asyncio.timeout(max(0, until - time.monotonic())):
            websocket = await WebSocket.open(run.target, key=True, compresses=False)
            try:
                variables = {"d": run.target.domain_id}
                payload = {"query": SUBSCRIBE, "variables": variables}
                websocket.send({"id": "1", "type": "subscribe", "payload": payload})
                if toggles:
                    await asyncio.sleep(1)
                    changing = asyncio.create_task(toggle(run, 1))
                _, told = await websocket.receive()
                return code(told) or "a change", time.monotonic()
            finally:
                websocket.close()
    except TimeoutError:
        return None
    except (OSError, EOFError):
        return "closed", time.monotonic()
    finally:
        if changing:
            changing.cancel()


@attack("log-moved", "13.21")
async def log_moved(run: Attack) -> None:
    """`embedded.log` is moved away, as log rotation does."""
    _move_log(run)
    await asyncio.sleep(max(0, run.until - time.monotonic()))


@attack("idle-flood", "21.4", descriptors=512)
async def idle_flood(run: Attack) -> None:
    """More idle connections than descriptors, without a key, and `embedded.log` moved away."""
    flood = asyncio.create_task(hold(run, b"", 900))
    await asyncio.sleep(2)
    _move_log(run)
    await flood


def _move_log(run: Attack) -> None:
    log = Path(run.target.data_dir) / "embedded.log"
    with suppress(FileNotFoundError):
        log.rename(log.with_suffix(".log.1"))
