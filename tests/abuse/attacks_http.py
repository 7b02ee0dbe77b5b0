"""Attacks by HTTP itself: connections, heads, bodies, answers that nobody reads."""

import asyncio
import json
import socket
import statistics
import time
from collections.abc import Callable

from gql_identity.secret import make_secret

from .attacks import Attack, attack
from .wire import Connection, nonce

BIG_PAGE = (
    "query($i: APIKeyQuery!) { apiKeys(input: $i) { results { " + " ".join(f"n{n}: name" for n in range(30)) + " } } }"
)
COERCED = 'query($f: APIKeyFilter) { apiKeysConnection(domainId: "d", filter: $f) { totalCount } }'


def big_page(run: Attack) -> bytes:
    """A request whose answer has some 30 MB: a thousand keys with long names, 30 times each."""
    target = run.target
    query = {"page": {"limit": 1000}}
    return target.request(BIG_PAGE, {"i": {"domainId": target.domain_id, "userId": target.user_id, "query": query}})


async def hold(run: Attack, first: bytes, number: int, *, receive_buffer: int | None = None) -> None:
    """Keep so many connections open that send this and never read; one that is closed is opened again."""
    loop = asyncio.get_running_loop()

    async def one() -> None:
        while run.goes_on:
            with socket.socket() as held:
                held.setblocking(False)
                if receive_buffer:
                    held.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
                try:
                    async with asyncio.timeout_at(loop.time() + 5):
                        await loop.sock_connect(held, (run.target.host, run.target.port))
                        if first:
                            await loop.sock_sendall(held, first)
                except (OSError, TimeoutError) as error:
                    run.answers[type(error).__name__] += 1
                    await asyncio.sleep(0.2)
                    continue
                run.answers["held"] += 1
                while run.goes_on and not _is_closed(held):
                    await asyncio.sleep(0.25)
                run.answers["closed by the service"] += run.goes_on
            await asyncio.sleep(0.5)  # so many come anew in a second that it is no flood of connects

    await asyncio.gather(*(one() for _ in range(number)))


def _is_closed(held: socket.socket) -> bool:
    try:
        return held.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


@attack("benign", "-")
async def benign(run: Attack) -> None:
    """No attack: a well-behaved caller, 4 connections that read one key each, for the machine's own share."""
    target = run.target
    query = "query($i: GetAPIKeyRequest!) { apiKey(input: $i) { apiKeyId state } }"
    request = target.request(query, {"i": {"domainId": target.domain_id, "apiKeyId": target.key_ids[0]}})
    await run.flood(4, lambda: request)


@attack("variables", "13.9")
async def variables(run: Attack) -> None:
    """Variables that are converted before anyone asks for a key: 80,000 empty filters, without a key."""
    request = run.target.request(COERCED, {"f": {"or": [{}] * 80_000}}, key=False)
    await run.flood(4, lambda: request)


@attack("variables-of-many", "13.9")
async def variables_of_many(run: Attack) -> None:
    """As `variables`, over 64 connections, every second one with a key."""
    requests = [run.target.request(COERCED, {"f": {"or": [{}] * 80_000}}, key=key) for key in (False, True)]
    await run.flood(64, lambda: requests[sum(run.answers.values()) % 2])


@attack("unread-answers", "13.11", keys=1_100)
async def unread_answers(run: Attack) -> None:
    """20 connections that ask for 30 MB each and read none of it."""
    await hold(run, big_page(run), 20, receive_buffer=4_096)


@attack("silent-connections", "13.12", descriptors=256)
async def silent_connections(run: Attack) -> None:
    """366 connections where 256 descriptors are: half say nothing, half send half a head."""
    half = b"POST /graphql HTTP/1.1\r\nHost: x\r\n"
    await asyncio.gather(hold(run, b"", 183), hold(run, half, 183))


@attack("refusals", "13.16")
async def refusals(run: Attack) -> None:
    """Requests that are refused at little cost, over 70 connections without pause: a list of another domain."""
    query = "query($i: APIKeyQuery!) { apiKeys(input: $i) { totalCount } }"
    request = run.target.request(query, {"i": {"domainId": "another"}})
    await run.flood(70, lambda: request)


@attack("refusals-without-a-key", "13.16")
async def refusals_without_a_key(run: Attack) -> None:
    """As `refusals`, without a key, over more connections."""
    query = "query($i: APIKeyQuery!) { apiKeys(input: $i) { totalCount } }"
    request = run.target.request(query, {"i": {"domainId": "another"}}, key=False)
    await run.flood(300, lambda: request)


@attack("documents", "13.18", seconds=20)
async def documents(run: Attack) -> None:
    """Different documents of 3 KB without a key: each is parsed, validated and kept."""
    await run.flood(4, lambda: _document(run))


@attack("documents-of-many", "13.18")
async def documents_of_many(run: Attack) -> None:
    """As `documents`, over 64 connections, every second one with a key."""
    await run.flood(64, lambda: _document(run, key=sum(run.answers.values()) % 2 == 1))


def _document(run: Attack, *, key: bool = False) -> bytes:
    filters = ",".join(["{}"] * 690)
    text = f'query {nonce()} {{ apiKeysConnection(domainId: "d", filter: {{or: [{filters}]}}) {{ totalCount }} }}'
    return run.target.request(text, key=key)


@attack("accept-headers", "13.18", seconds=12)
async def accept_headers(run: Attack) -> None:
    """Different Accept headers of 60 KB, without a key."""
    body = json.dumps({"query": "{ __typename }"}).encode()
    await run.flood(4, lambda: run.target.post(body, "Accept: " + ", ".join(_names(nonce())) + "\r\n"))


def _names(start: str) -> list[str]:
    return [f"{start}{n:03d}/{'x' * 580}" for n in range(100)]


@attack("wrong-keys", "13.24", seconds=15, settings={"GQL_IDENTITY_TRUSTED_PROXIES": "127.0.0.1"})
async def wrong_keys(run: Attack) -> None:
    """Wrong keys, each from an address of its own, behind a trusted proxy."""
    secrets = [make_secret() for _ in range(100)]
    body = json.dumps({"query": "{ __typename }"}).encode()
    sent = iter(range(16_000_000))

    def make() -> bytes:
        n = next(sent)
        address = f"X-Forwarded-For: 11.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}\r\n"
        return run.target.post(body, f"{address}Authorization: Bearer {secrets[n % 100]}\r\n")

    few = await _median_ms(run, make)
    await run.flood(8, make)
    many = await _median_ms(run, make)
    if many > 2 * few:
        run.broken = f"a wrong key takes {many:.1f} ms after {next(sent):,} addresses, {few:.1f} ms before"


async def _median_ms(run: Attack, make: Callable[[], bytes]) -> float:
    """How long one of these requests takes, sent one after the other."""
    connection = Connection(run.target.host, run.target.port)
    took = []
    try:
        for _ in range(100):
            began = time.perf_counter()
            await connection.send(make())
            took.append((time.perf_counter() - began) * 1000)
    finally:
        connection.close()
    return statistics.median(took)


@attack("creates", "13.19", seconds=5)
async def creates(run: Attack) -> None:
    """Each key that a key makes makes its own 60 a minute."""
    target = run.target
    query = (
        "mutation($i: CreateAPIKeyRequest!) { "
        + " ".join(f"c{n}: createApiKey(input: $i) {{ apiKey }}" for n in range(20))
        + " }"
    )
    body = json.dumps({"query": query, "variables": {"i": {"domainId": target.domain_id, "userId": target.user_id}}})
    secrets, made = [target.secret], 0
    places = asyncio.Semaphore(0)
    places.release()

    async def one() -> None:
        nonlocal made
        connection = Connection(target.host, target.port)
        while run.goes_on:
            if not secrets:
                await asyncio.sleep(0.01)
                continue
            secret = secrets.pop()
            for _ in range(3):
                if not run.goes_on:
                    break
                try:
                    _, answer = await connection.send(target.post(body.encode(), f"Authorization: Bearer {secret}\r\n"))
                except (OSError, EOFError, TimeoutError) as error:
                    run.answers[type(error).__name__] += 1
                    continue
                new = [key["apiKey"] for key in (json.loads(answer).get("data") or {}).values() if key]
                made += len(new)
                if len(secrets) < 5_000:
                    secrets.extend(new)
                if not new:
                    run.answers["refused"] += 1
                    await asyncio.sleep(0.05)
                    break
        connection.close()

    await asyncio.gather(*(one() for _ in range(4)))
    run.answers["keys made"] = made
    if made > 130:  # 60 a minute, by a sliding window that may hold two minutes' ends
        run.broken = f"one owner made {made} keys"


@attack("no-key", "21.6", seconds=20)
async def without_a_key(run: Attack) -> None:
    """What a caller without a key can have done: documents kept, values converted, patterns compiled."""
    converted = run.target.request(COERCED, {"f": {"or": [{}] * 20_000}}, key=False)
    statistic = "query($i: APIKeyQuery!) { apiKeys(input: $i) { totalCount } }"

    def make() -> bytes:
        patterns = [f"(?i)[Ā-￿]{{{n}}}" + "[Ā-￿]" * 40 + nonce() for n in range(1, 5)]
        condition = {"k": "name", "v": patterns, "o": "REGEX_IN"}
        searched = run.target.request(statistic, {"i": {"domainId": "d", "query": {"filter": [condition]}}}, key=False)
        return [_document(run), _document(run), converted, searched][sum(run.answers.values()) % 4]

    await run.flood(4, make)


@attack("tiny-headers", "13.18")
async def tiny_headers(run: Attack) -> None:
    """Heads of 10,000 headers of one byte, without a key, over 40 connections."""
    request = run.target.post(b'{"query":"{ __typename }"}', "a:\r\n" * 10_000)
    await run.flood(40, lambda: request)


@attack("tiny-chunks", "13.18")
async def tiny_chunks(run: Attack) -> None:
    """Bodies of 200,000 chunks of one byte, without a key, over 40 connections."""
    head = f"POST /graphql HTTP/1.1\r\nHost: {run.target.host}\r\nContent-Type: application/json\r\n"
    body = b'{"query":"{ __typename }"}'
    chunks = b"1\r\n \r\n" * 200_000 + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    request = f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunks
    await run.flood(40, lambda: request)
