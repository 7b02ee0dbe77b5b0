"""Rates: how often a credential may fail, a caller ask and a key be made."""

import asyncio
import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_network
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from pydantic import SecretStr

from gql_identity.app import create_app
from gql_identity.errors import StartError
from gql_identity.keys import rates, shared_counts
from gql_identity.settings import Settings
from tests.conftest import Api, Person, missing_tool, running
from tests.processes import refused, serving, wait_until

TYPENAME = "{ __typename }"
CREATE = 'mutation { createApiKey(input: {domainId: "d1", userId: "u1"}) { apiKeyId } }'


@asynccontextmanager
async def limited(api: Api, **settings: Any) -> AsyncIterator[Api]:
    """The application with these settings, on the database of `api`."""
    async with running(api.settings.model_copy(update=settings)) as application:
        yield application


async def guess(api: Api, address: str = "192.0.2.1", *forwarded_for: str, secret: str = "wrong") -> int:
    """The status of a request with this secret that comes from this address, as proxies tell it."""
    headers = [("Authorization", f"Bearer {secret}"), *(("X-Forwarded-For", text) for text in forwarded_for)]
    transport = httpx.ASGITransport(api.app, client=(address, 1234))
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        return (await client.post("/graphql", json={"query": TYPENAME}, headers=headers)).status_code


class TestFailedCredentials:
    async def test_too_many_from_one_address_are_429_and_a_good_one_passes(self, api: Api) -> None:
        async with limited(api, failed_credentials_per_minute=3) as service:
            user = await service.make("USER")
            for _ in range(10):
                assert (await service.send(TYPENAME, by=user)).status_code == 200
            assert [await guess(service) for _ in range(5)] == [401, 401, 401, 429, 429]
            assert await guess(service, "192.0.2.1", secret=user.secret) == 200
            assert await guess(service, "192.0.2.2") == 401

    async def test_the_answer_says_when_to_try_again(self, api: Api) -> None:
        async with limited(api, failed_credentials_per_minute=1) as service:
            assert (await service.send(TYPENAME, by="wrong")).status_code == 401
            answer = await service.send(TYPENAME, by="wrong")
            (error,) = answer.json()["errors"]
            assert error["extensions"]["code"] == "RESOURCE_EXHAUSTED"
            assert 1 <= int(answer.headers["Retry-After"]) <= 120
            assert error["extensions"]["retryAfterSeconds"] == int(answer.headers["Retry-After"])
            assert "WWW-Authenticate" not in answer.headers

    async def test_they_count_wherever_they_are_sent(self, api: Api) -> None:
        async with limited(api, failed_credentials_per_minute=2) as service:
            headers = {"Authorization": "Bearer wrong"}
            paths = ("/identity/v1/api-key/list", "/introspect", "/graphql", "/identity/v1/api-key/list", "/introspect")
            statuses = []
            for path in paths:
                content: Any = {"data": {"token": "x"}} if path == "/introspect" else {"json": {"query": TYPENAME}}
                answer = await service.client.post(path, headers=headers, **content)
                statuses.append(answer.status_code)
                if answer.status_code == 429:
                    assert int(answer.headers["Retry-After"]) >= 1
                    assert "error" in str(answer.json())
            assert statuses == [401, 401, 429, 429, 429]

    async def test_no_credential_at_all_does_not_count(self, api: Api) -> None:
        async with limited(api, failed_credentials_per_minute=1) as service:
            for _ in range(5):
                assert (await service.send(TYPENAME)).status_code == 200
            assert await guess(service, "127.0.0.1") == 401

    async def test_0_is_no_limit(self, api: Api) -> None:
        async with limited(api, failed_credentials_per_minute=0) as service:
            assert {await guess(service) for _ in range(70)} == {401}

    async def test_60_a_minute_are_the_default(self, api: Api) -> None:
        assert [await guess(api) for _ in range(61)] == [401] * 60 + [429]


class TestAddresses:
    """Each test sends wrong keys and sees which of them share a limit."""

    async def test_the_peer_s_counts_whatever_it_says_of_itself(self, api: Api) -> None:
        async with limited(api, failed_credentials_per_minute=1) as service:
            assert await guess(service, "192.0.2.1", "198.51.100.1") == 401
            assert await guess(service, "192.0.2.1", "198.51.100.2") == 429

    async def test_a_trusted_proxy_names_the_address(self, api: Api) -> None:
        async with limited(
            api, failed_credentials_per_minute=1, trusted_proxies=(ip_network("10.0.0.0/8"),)
        ) as service:
            assert await guess(service, "10.0.0.1", "198.51.100.1") == 401
            assert await guess(service, "10.0.0.2", "198.51.100.1") == 429
            assert await guess(service, "10.0.0.1", "198.51.100.2") == 401
            assert await guess(service, "192.0.2.1", "198.51.100.3") == 401
            assert await guess(service, "192.0.2.1", "198.51.100.4") == 429
            # Without the header, the proxy itself is who asks.
            assert await guess(service, "10.0.0.1") == 401
            assert await guess(service, "10.0.0.1") == 429

    async def test_what_the_client_wrote_left_of_its_own_address_is_ignored(self, api: Api) -> None:
        proxies = (ip_network("10.0.0.0/8"),)
        async with limited(api, failed_credentials_per_minute=1, trusted_proxies=proxies) as service:
            assert await guess(service, "10.0.0.1", "203.0.113.1, 198.51.100.1, 10.0.0.9") == 401
            assert await guess(service, "10.0.0.1", "203.0.113.2, 198.51.100.1") == 429
            assert await guess(service, "10.0.0.1", "10.9.9.9, 198.51.100.1") == 429

    async def test_a_proxy_may_add_a_line_of_its_own(self, api: Api) -> None:
        proxies = (ip_network("10.0.0.0/8"),)
        async with limited(api, failed_credentials_per_minute=1, trusted_proxies=proxies) as service:
            assert await guess(service, "10.0.0.1", "203.0.113.1", "198.51.100.1") == 401
            assert await guess(service, "10.0.0.1", "203.0.113.2", "198.51.100.1") == 429

    async def test_a_proxy_may_write_ports(self, api: Api) -> None:
        proxies = (ip_network("10.0.0.0/8"),)
        async with limited(api, failed_credentials_per_minute=1, trusted_proxies=proxies) as service:
            assert await guess(service, "10.0.0.1", "198.51.100.1:4711") == 401
            assert await guess(service, "10.0.0.1", "198.51.100.1:4712") == 429
            assert await guess(service, "10.0.0.1", "198.51.100.2:4711") == 401
            assert await guess(service, "10.0.0.1", "[2001:db8::1]:4711") == 401
            assert await guess(service, "10.0.0.1", "2001:db8::2") == 429

    async def test_a_network_of_ipv6_counts_as_one(self, api: Api) -> None:
        async with limited(api, failed_credentials_per_minute=1) as service:
            assert await guess(service, "2001:db8::1") == 401
            assert await guess(service, "2001:db8::ffff:2") == 429
            assert await guess(service, "2001:db8:0:1::1") == 401

    async def test_an_ipv4_address_in_ipv6_is_itself(self, api: Api) -> None:
        proxies = (ip_network("10.0.0.0/8"),)
        async with limited(api, failed_credentials_per_minute=1, trusted_proxies=proxies) as service:
            assert await guess(service, "::ffff:192.0.2.1") == 401
            assert await guess(service, "192.0.2.1") == 429
            assert await guess(service, "::ffff:192.0.2.2") == 401
            assert await guess(service, "::ffff:10.0.0.1", "198.51.100.1") == 401
            assert await guess(service, "::ffff:10.0.0.1", "198.51.100.2") == 401

    async def test_what_is_no_address_counts_as_one(self, api: Api) -> None:
        proxies = (ip_network("10.0.0.0/8"),)
        async with limited(api, failed_credentials_per_minute=1, trusted_proxies=proxies) as service:
            assert await guess(service, "10.0.0.1", "nonsense") == 401
            assert await guess(service, "10.0.0.1", "other nonsense") == 429


class TestRequests:
    async def test_a_caller_over_its_rate_is_told_so_and_never_that_it_is_unknown(self, api: Api) -> None:
        async with limited(api, requests_per_minute=3) as service:
            user, other = await service.make("USER"), await service.make("USER", user_id="u2")
            statuses = [(await service.send(TYPENAME, by=user)).status_code for _ in range(6)]
            assert statuses == [200, 200, 200, 429, 429, 429]
            refused = await service.send(TYPENAME, by=user)
            assert refused.json()["errors"][0]["extensions"]["code"] == "RESOURCE_EXHAUSTED"
            assert int(refused.headers["Retry-After"]) >= 1
            assert (await service.send(TYPENAME, by=other)).status_code == 200

    async def test_all_keys_of_a_user_share_a_rate(self, api: Api) -> None:
        async with limited(api, requests_per_minute=3) as service:
            keys = [await service.make(role) for role in ("USER", "USER", "VERIFIER", "DOMAIN_OWNER", "USER")]
            assert [(await service.send(TYPENAME, by=key)).status_code for key in keys] == [200, 200, 200, 429, 429]
            for other in (await service.make("USER", user_id="u2"), await service.make("USER", domain_id="d2")):
                assert (await service.send(TYPENAME, by=other)).status_code == 200

    async def test_every_interface_counts(self, api: Api) -> None:
        async with limited(api, requests_per_minute=2) as service:
            user = await service.make("USER")
            headers = {"Authorization": f"Bearer {user.secret}"}
            listed = ["/identity/v1/api-key/list", {"json": {"domain_id": "d1"}}]
            asked = ["/introspect", {"data": {"token": "x"}}]
            statuses = [
                (await service.client.post(path, headers=headers, **content)).status_code  # type: ignore[arg-type]
                for path, content in (listed, asked, listed, asked)
            ]
            assert statuses == [200, 200, 429, 429]

    async def test_there_is_no_limit_by_default(self, api: Api) -> None:
        user = await api.make("USER")
        assert {(await api.send(TYPENAME, by=user)).status_code for _ in range(100)} == {200}


class TestCreates:
    async def test_a_caller_below_system_makes_so_many_and_no_more(self, api: Api) -> None:
        async with limited(api, creates_per_minute=2) as service:
            for role in ("USER", "VERIFIER", "DOMAIN_OWNER"):
                maker = await service.make(role, user_id=role)
                create = CREATE.replace("u1", role)
                answers = [await service.run(create, by=maker) for _ in range(3)]
                assert ["errors" in answer for answer in answers] == [False, False, True]
                (error,) = answers[2]["errors"]
                assert error["extensions"]["code"] == "RESOURCE_EXHAUSTED"
                assert error["extensions"]["retryAfterSeconds"] >= 1
                # What is refused for another reason is told that reason, and reading goes on.
                assert await service.code(create.replace('"d1"', '"d2"'), by=maker) == "PERMISSION_DENIED"
                assert (await service.send(TYPENAME, by=maker)).status_code == 200

    async def test_a_key_that_makes_keys_gains_nothing(self, api: Api) -> None:
        create = CREATE.replace("apiKeyId", "apiKey")
        async with limited(api, creates_per_minute=3) as service:
            secrets = [(await service.make("USER")).secret]
            made = 0
            for secret in secrets:
                for _ in range(3):
                    answer = await service.run(create, by=secret)
                    if "errors" not in answer:
                        made += 1
                        secrets.append(answer["data"]["createApiKey"]["apiKey"])
            assert made == 3
            other = await service.make("USER", user_id="u2")
            await service.data(CREATE.replace("u1", "u2"), by=other)

    async def test_a_domain_owner_gains_nothing_by_owners_that_it_invents(self, api: Api) -> None:
        async with limited(api, creates_per_minute=3) as service:
            secrets = [(await service.make("DOMAIN_OWNER")).secret]
            made = 0
            for secret in secrets:
                for _ in range(3):
                    made += 1
                    invented = f'{{domainId: "d1", userId: "invented {made}", role: DOMAIN_OWNER}}'
                    answer = await service.run(
                        f"mutation {{ createApiKey(input: {invented}) {{ apiKey }} }}", by=secret
                    )
                    if "errors" not in answer:
                        secrets.append(answer["data"]["createApiKey"]["apiKey"])
            assert len(secrets) == 1 + 3
            await service.data(CREATE.replace("d1", "d2"), by=await service.make("DOMAIN_OWNER", domain_id="d2"))

    async def test_system_makes_as_many_as_it_likes(self, api: Api) -> None:
        async with limited(api, creates_per_minute=1) as service:
            system = await service.make()
            for _ in range(5):
                await service.data(CREATE, by=system)

    async def test_several_in_one_request_count_each(self, api: Api) -> None:
        async with limited(api, creates_per_minute=2) as service:
            fields = " ".join(
                f'a{n}: createApiKey(input: {{domainId: "d1", userId: "u1"}}) {{ apiKeyId }}' for n in range(4)
            )
            answer = await service.run(f"mutation {{ {fields} }}", by=await service.make("USER"))
            assert [answer["data"][f"a{n}"] is not None for n in range(4)] == [True, True, False, False]

    async def test_rest_counts_the_same(self, api: Api) -> None:
        async with limited(api, creates_per_minute=1) as service:
            user: Person = await service.make("USER")
            await service.data(CREATE, by=user)
            headers = {"Authorization": f"Bearer {user.secret}"}
            answer = await service.client.post(
                "/identity/v1/api-key/create", json={"domain_id": "d1", "user_id": "u1"}, headers=headers
            )
            assert answer.status_code == 429
            assert answer.json()["error"]["code"] == "RESOURCE_EXHAUSTED"
            assert answer.json()["error"]["retry_after_seconds"] == int(answer.headers["Retry-After"])


class TestCounts:
    """The counts in memory."""

    def test_the_count_slides_and_tells_when_to_try_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: now)
        counts = rates.Counts()
        assert [counts.hit("a", 3) for _ in range(3)] == [None] * 3
        seconds = counts.hit("a", 3)
        # A third of what came before must be gone: 20 s of the next window.
        assert seconds == 80
        assert counts.hit("b", 3) is None
        now += seconds - 1
        assert counts.hit("a", 3) == 1
        now += 1
        assert counts.hit("a", 3) is None
        assert counts.hit("a", 3) == 20
        now += 20
        assert counts.hit("a", 3) is None
        now += 180
        assert [counts.hit("a", 3) for _ in range(4)][:3] == [None] * 3

    def test_memory_is_bounded_and_the_latest_are_counted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(rates, "MAX_COUNTS", 100)
        counts = rates.Counts()
        for number in range(1_000):
            assert counts.hit(str(number), 1) is None
        assert len(counts._counts) == 100
        assert counts.hit("999", 1) is not None
        assert counts.hit("0", 1) is None

    async def test_a_wrong_key_costs_the_same_however_many_addresses_sent_one(self, settings: Settings) -> None:
        counting = rates.Rates(settings)

        async def seconds_of_1000(first: int) -> float:
            begun = time.perf_counter()
            for number in range(first, first + 1_000):
                await counting.failed_credential(f"2001:db8:{number >> 16:x}:{number & 0xFFFF:x}::1")
            return time.perf_counter() - begun

        few = min([await seconds_of_1000(first) for first in range(0, 5_000, 1_000)])
        for first in range(5_000, 60_000, 1_000):
            await seconds_of_1000(first)
        many = min([await seconds_of_1000(first) for first in range(60_000, 65_000, 1_000)])
        assert many < 3 * few


@pytest.fixture
def redis() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A Redis of its own, with a password, and its URI."""
    if shutil.which("redis-server") is None:
        missing_tool("redis-server")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as directory:
        options = ["--port", str(port), "--save", "", "--dir", directory, "--requirepass", "hunter2"]
        server = subprocess.Popen(["redis-server", *options, "--bind", "127.0.0.1"], stdout=subprocess.DEVNULL)
        try:
            wait_until(lambda: can_connect(port), 20)
            yield f"redis://:hunter2@127.0.0.1:{port}", server
        finally:
            server.send_signal(signal.SIGCONT)
            server.terminate()
            server.wait(20)


def can_connect(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


class Hidden:
    """Makes the package of Redis's client look as if it were not installed."""

    def find_spec(self, name: str, *_: object) -> None:
        if name.partition(".")[0] == "coredis":
            raise ModuleNotFoundError(name)


class TestTheStore:
    @pytest.mark.parametrize(
        ("uri", "told"),
        [
            ("nonsense", "is not the URI of a store, such as redis://"),
            ("nonsense://", "is not the URI of a store"),
            ("redis://a:hunter2:c", "is not the URI of a store"),
            ("", "is not the URI of a store"),
            ("memcached://x", r"install the package limits\[async-memcached\]"),
            ("valkey://x", r"install the package limits\[async-valkey\], or name the server by redis://"),
        ],
    )
    async def test_one_that_cannot_be_used_stops_the_start(self, api: Api, uri: str, told: str) -> None:
        with pytest.raises(StartError, match="GQL_IDENTITY_RATES_STORE cannot be used: .*" + told) as stop:
            create_app(api.settings.model_copy(update={"rates_store": SecretStr(uri)}))
        assert "hunter2" not in str(stop.value)

    async def test_without_the_packages_of_redis_the_extra_is_named(
        self, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in [name for name in sys.modules if name.partition(".")[0] == "coredis"]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setattr(sys, "meta_path", [cast(Any, Hidden()), *sys.meta_path])
        with pytest.raises(StartError, match="install gql-identity with its extra `redis`"):
            create_app(api.settings.model_copy(update={"rates_store": SecretStr("redis://localhost:6379")}))

    async def test_workers_share_its_counts(self, api: Api, redis: Any) -> None:
        more: Any = {"rates_store": SecretStr(redis[0]), "failed_credentials_per_minute": 4}
        async with limited(api, **more) as one, limited(api, **more) as other:
            assert [await guess(service) for service in (one, other, one, other, one, other)] == [401] * 4 + [429] * 2
            assert await guess(one, "192.0.2.9") == 401

    async def test_it_is_sent_short_plain_names_without_anybodys_id(self, api: Api, redis: Any) -> None:
        more: Any = {"rates_store": SecretStr(redis[0]), "creates_per_minute": 9, "requests_per_minute": 9}
        async with limited(api, **more) as service:
            await service.app.state.api_keys.rates.try_store()
            owner = await service.make("DOMAIN_OWNER", "\U0001d11e" * 255, "somebody " + "x" * 240)
            create = "mutation($i: CreateAPIKeyRequest!) { createApiKey(input: $i) { id } }"
            await service.data(create, {"i": {"domainId": owner.domain_id, "userId": "u"}}, owner)
        port = redis[0].rpartition(":")[2]
        command = ["redis-cli", "-p", port, "-a", "hunter2", "--no-auth-warning", "--raw", "KEYS", "*"]
        listed = await asyncio.to_thread(lambda: subprocess.run(command, capture_output=True, check=True, text=True))
        names = listed.stdout.splitlines()
        assert len(names) == 4, names  # the trial, the request, and the two counts of the create
        # Memcached refuses any others.
        assert all(name.isascii() and name.isprintable() and " " not in name and len(name) <= 250 for name in names)
        assert "somebody" not in listed.stdout

    async def test_a_network_of_ipv6_counts_as_one_there_too(self, api: Api, redis: Any) -> None:
        more: Any = {"rates_store": SecretStr(redis[0]), "failed_credentials_per_minute": 2}
        async with limited(api, **more) as one, limited(api, **more) as other:
            for service in (one, other):  # a first connection may take longer than a request waits
                await service.app.state.api_keys.rates.try_store()
            assert await guess(one, "2001:db8:5::1") == 401
            assert await guess(other, "2001:db8:5::ffff:2") == 401
            assert await guess(one, "2001:db8:5::3") == 429
            assert await guess(other, "2001:db8:5::4") == 429
            assert await guess(one, "2001:db8:5:1::1") == 401

    async def test_with_redis_standing_still_nobody_waits_and_the_limit_holds(
        self, api: Api, redis: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        uri, server = redis
        monkeypatch.setattr(shared_counts, "PAUSE_SECONDS", 1.0)
        async with limited(api, rates_store=SecretStr(uri), requests_per_minute=60) as service:
            user = await service.make("USER")
            assert (await service.send(TYPENAME, by=user)).status_code == 200
            server.send_signal(signal.SIGSTOP)
            took, statuses = [], []
            for _ in range(100):
                begun = time.perf_counter()
                statuses.append((await service.send(TYPENAME, by=user)).status_code)
                took.append(time.perf_counter() - begun)
            assert statuses == [200] * 59 + [429] * 41
            # Those that found it out, or tried it again, waited a quarter of a second; the others waited for nothing.
            assert sorted(took)[80] < shared_counts.ANSWER_SECONDS
            server.send_signal(signal.SIGCONT)
            # What it counts is counted again: this address's keys by another worker too.
            async with limited(api, rates_store=SecretStr(uri), failed_credentials_per_minute=1) as other:
                assert await guess(other, "192.0.2.7") == 401
            async with limited(api, rates_store=SecretStr(uri), failed_credentials_per_minute=1) as another:
                assert await guess(another, "192.0.2.7") == 429
        assert "hunter2" not in "".join(capsys.readouterr())

    async def test_one_that_ends_and_comes_back_is_used_again(
        self, api: Api, redis: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        uri, server = redis
        monkeypatch.setattr(shared_counts, "PAUSE_SECONDS", 0.2)
        counts = shared_counts.SharedCounts(uri)
        assert await counts.hit("what", "who", 1, 7) is None
        server.send_signal(signal.SIGSTOP)
        assert await counts.hit("what", "who", 1, 7) == 7
        server.send_signal(signal.SIGCONT)
        async with asyncio.timeout(20):
            while (seconds := await counts.hit("what", "who", 1, None)) is None:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        assert 1 <= seconds <= 120

    @pytest.mark.slow
    def test_serve_says_when_it_refuses_and_starts_when_it_is_away(self, tmp_path: Path, redis: Any) -> None:
        wrong = redis[0].replace("hunter2", "hunter3")
        start = ["--port", "0", "--data-dir", str(tmp_path / "data")]
        said = refused(*start, workers=["1"], GQL_IDENTITY_RATES_STORE=wrong)
        assert "GQL_IDENTITY_RATES_STORE cannot be used: the store refuses to count" in said
        assert "hunter" not in said
        away: dict[str, Any] = {"GQL_IDENTITY_RATES_STORE": "redis://127.0.0.1:1"}
        with serving(tmp_path / "data", **away) as service:
            assert "the rate store does not respond; each worker counts alone" in service.err
            record = json.loads((tmp_path / "data" / "embedded.json").read_text())
            user, password, port = (record[name] for name in ("username", "password", "port"))
            uri = f"mongodb://{user}:{password}@127.0.0.1:{port}/?authSource=admin"
            on_embedded = refused(
                "--port", "0", "--data-dir", str(tmp_path / "2"), workers=["1"], GQL_IDENTITY_RATES_STORE=uri
            )
            assert "the store refuses to count (OperationFailure)" in on_embedded
            assert password not in on_embedded


async def test_why_a_store_does_not_respond_is_logged_without_its_password(capsys: pytest.CaptureFixture[str]) -> None:
    await shared_counts.SharedCounts("redis://:hunter2@127.0.0.1:1").try_once()
    said = "".join(capsys.readouterr())
    assert "the rate store does not respond" in said
    assert "ConnectionError: [Errno 111]" in said or "Connect call failed" in said
    assert "hunter2" not in said
