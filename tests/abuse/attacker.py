"""The attacker's process: `python -m tests.abuse.attacker NAME SECONDS`, with its target as JSON on standard input."""

import asyncio
import gc
import json
import resource
import sys

import uvloop

from . import attacks_http, attacks_queries, attacks_streams, attacks_websocket  # noqa: F401 - they enter their attacks
from .attacks import KINDS, Attack
from .wire import Target


def main() -> None:
    """Attack, and print what was found as JSON."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    name, seconds = sys.argv[1:]
    run = Attack(Target(**json.loads(sys.stdin.readline())), float(seconds))
    gc.freeze()
    uvloop.run(_bounded(run, name, float(seconds)))
    print(json.dumps({"answers": dict(run.answers), "broken": run.broken}))


async def _bounded(run: Attack, name: str, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds + 2):
            await KINDS[name].run(run)
    except TimeoutError:
        run.answers["attack cut short"] += 1


if __name__ == "__main__":
    main()
