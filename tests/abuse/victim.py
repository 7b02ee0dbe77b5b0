"""The victim's process: reads one key 50 times a second, and prints a line for each: when it was planned, ms, ok."""

import asyncio
import json
import sys
import time

import uvloop

from .wire import Connection, Target

PERIOD_SECONDS = 0.02
CONNECTIONS = 8
REQUESTS_A_CONNECTION = 10  # then a new one, as a client that has just come needs
PATIENCE_SECONDS = 5.0

QUERY = "query($i: GetAPIKeyRequest!) { apiKey(input: $i) { apiKeyId state name } }"


def main() -> None:
    """Read until standard input ends."""
    uvloop.run(_read_for_ever(Target(**json.loads(sys.stdin.readline()))))


async def _read_for_ever(target: Target) -> None:
    request = target.request(QUERY, {"i": {"domainId": target.domain_id, "apiKeyId": target.key_ids[0]}})
    planned: asyncio.Queue[float] = asyncio.Queue()
    tasks = [asyncio.create_task(_client(target, request, planned)) for _ in range(CONNECTIONS)]
    ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    at = time.monotonic()
    # Open loop: the next one is planned whatever became of those before, and its time counts from the plan.
    while not ended.done():
        at += PERIOD_SECONDS
        await asyncio.sleep(max(0, at - time.monotonic()))
        planned.put_nowait(at)
    for task in tasks:
        task.cancel()


async def _client(target: Target, request: bytes, planned: "asyncio.Queue[float]") -> None:
    connection = Connection(target.host, target.port)
    sent = 0
    while True:
        at = await planned.get()
        left = at + PATIENCE_SECONDS - time.monotonic()
        ok = False
        if left > 0:
            try:
                status, body = await connection.send(request, left)
                ok = status == 200 and b'"apiKeyId"' in body and b'"errors"' not in body
            except (OSError, EOFError, TimeoutError):
                await asyncio.sleep(0.01)
            sent += 1
            if sent % REQUESTS_A_CONNECTION == 0:
                connection.close()
        print(json.dumps([at, round((time.monotonic() - at) * 1000, 2), ok]), flush=True)


if __name__ == "__main__":
    main()
