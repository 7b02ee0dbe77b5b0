"""Invariant 7: no sequence of operations by a key gives its holder a role, a scope, an end or an address that it lacks.

Somebody holds one key, or only a token of one, or signs in at an OpenID issuer, and has every secret and token that
they can get by it. They try whatever comes to hypothesis, over GraphQL and REST, on their own keys and on those of
others that may do more.
"""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from strawberry.utils.str_converters import to_camel_case

from gql_identity.issuers import OpenIDIssuer
from gql_identity.keys.scopes import IMPLIED, OURS
from gql_identity.messages.values import instant_text
from gql_identity.settings import Settings
from tests.conftest import Api, Person
from tests.database.test_tokens import EXCHANGE, issuing
from tests.openid import AUDIENCE, Provider

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
ROLES = st.sampled_from(["USER", "VERIFIER", "DOMAIN_OWNER", "SYSTEM"])
SCOPES = st.one_of(
    st.none(),
    st.lists(st.sampled_from(["orders:read", "orders:write", *sorted(OURS)]), max_size=4, unique=True),
)
ENDS = st.one_of(st.none(), st.integers(1, 60).map(lambda days: instant_text(NOW + days * DAY)))
NETWORKS = st.one_of(
    st.none(), st.sampled_from([["127.0.0.0/8"], ["127.0.0.1"], ["0.0.0.0/0"], ["::/0", "127.0.0.0/9"]])
)
ABSENT = object()
GIVEN_SCOPES, GIVEN_ENDS, GIVEN_NETWORKS = (st.one_of(st.just(ABSENT), values) for values in (SCOPES, ENDS, NETWORKS))
WHICH = st.integers(0, 30)
FIELDS = "apiKeyId domainId role scopes expiresAt allowedAddresses"


class Holder(RuleBasedStateMachine):
    """Who holds a key, a token or a sign-in."""

    api: ClassVar[Api]
    system: ClassVar[Person]
    loop: ClassVar[asyncio.AbstractEventLoop]
    domains: ClassVar[Iterator[int]]
    plain: ClassVar[Provider]  # its people have no list of scopes
    scoped: ClassVar[Provider]

    @initialize(
        role=st.sampled_from(["USER", "VERIFIER", "DOMAIN_OWNER"]),
        scopes=SCOPES,
        end=ENDS,
        networks=st.sampled_from([None, ["127.0.0.0/8"]]),
        token=st.one_of(st.none(), st.frozensets(st.sampled_from(["orders:read", *sorted(IMPLIED)]))),
        is_person=st.booleans(),
    )
    def begin(
        self,
        role: str,
        scopes: list[str] | None,
        end: str | None,
        networks: list[str] | None,
        token: frozenset[str] | None,
        is_person: bool,
    ) -> None:
        self.domain = f"d{next(self.domains)}"
        self.secrets: dict[str, str] = {}
        self.tokens: list[str] = []
        self.all: list[str] = []
        if is_person:
            self.sign_in(role, scopes)
        else:
            self.hold(role, scopes, end, networks, token)
        # Keys of others, and of the same user: some may do more, some less.
        self.all += [
            self.make(self.system.secret, **more)["api_key_id"]
            for more in (
                {"role": "USER"},
                {"role": "USER", "scopes": ["orders:admin"]},
                {"role": "USER", "scopes": []},
                {"role": "USER", "expires_at": instant_text(NOW + DAY)},
                {"role": "USER", "allowed_addresses": ["127.0.0.1"], "expires_at": instant_text(NOW + DAY)},
                {"role": "DOMAIN_OWNER"},
                {"role": "USER", "user_id": "somebody else"},
            )
        ]

    def sign_in(self, role: str, scopes: list[str] | None) -> None:
        """All that they hold is a token of an OpenID issuer, which says this of them."""
        provider = self.plain if scopes is None else self.scoped
        scope = None if scopes is None else " ".join(scopes)
        self.kept = provider.token(sub="u1", domain=self.domain, groups=[role], scope=scope)
        self.tokens = [self.kept]
        # What they make does not end with their token, and may be used from anywhere.
        self.lifetime: timedelta | None = None
        self.first = {"domainId": self.domain, "role": role, "scopes": scopes}
        self.first |= {"expiresAt": None, "allowedAddresses": None}

    def hold(
        self,
        role: str,
        scopes: list[str] | None,
        end: str | None,
        networks: list[str] | None,
        token: frozenset[str] | None,
    ) -> None:
        """All that they hold is a key, or a token of it with some of its scopes."""
        given = {"scopes": scopes, "expires_at": end, "allowed_addresses": networks}
        made = self.make(self.system.secret, role=role, **given)
        self.first = self.look(made["api_key_id"])
        self.kept = made["api_key"]
        self.secrets[made["api_key_id"]] = self.kept
        if token is not None:  # all that they hold is a token, with these of its key's scopes
            narrowed = sorted(token & (IMPLIED if scopes is None else frozenset(scopes)))
            only = self.exchanged(made["api_key"], narrowed)
            self.kept, self.first["scopes"] = only["accessToken"], narrowed
            self.secrets, self.tokens = {}, [self.kept]
        self.lifetime = None if end is None else datetime.fromisoformat(end) - NOW
        self.all.append(made["api_key_id"])

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def send(self, secret: str, operation: str, over_rest: bool, **message: Any) -> Any:
        """The key that an operation answers, with REST's names; None where it was refused."""
        given = {name: value for name, value in message.items() if value is not ABSENT}
        if over_rest:
            headers = {"Authorization": f"Bearer {secret}"}
            path = f"/identity/v1/api-key/{operation}"
            answer = self.run(self.api.client.post(path, json=given, headers=headers))
            assert answer.status_code < 500, answer.text
            return answer.json() if answer.status_code == 200 else None
        kind = {"create": "Create", "update": "Update", "rotate": "Rotate"}.get(operation, "")
        field = f"{operation}ApiKey"
        query = f"mutation($i: {kind}APIKeyRequest!) {{ r: {field}(input: $i) {{ apiKeyId apiKey }} }}"
        input_ = {to_camel_case(name): value for name, value in given.items()}
        got = self.run(self.api.run(query, {"i": input_}, secret))
        assert "INTERNAL" not in str(got), got
        key = (got.get("data") or {}).get("r")
        return key and {"api_key_id": key["apiKeyId"], "api_key": key["apiKey"]}

    def make(self, secret: str, **fields: Any) -> Any:
        made = self.send(secret, "create", False, **{"domain_id": self.domain, "user_id": "u1", **fields})
        assert made, fields
        return made

    def look(self, key_id: str) -> Any:
        """The key as it is, for SYSTEM."""
        query = f'{{ apiKey(input: {{domainId: "{self.domain}", apiKeyId: "{key_id}"}}) {{ {FIELDS} }} }}'
        return self.run(self.api.data(query, by=self.system))["apiKey"]

    def exchanged(self, secret: str, scopes: Any) -> Any:
        """The token of a secret; None where it was refused."""
        given = {} if scopes is None or scopes is ABSENT else {"scopes": scopes}
        got = self.run(self.api.run(EXCHANGE, {"i": given}, secret))
        assert "INTERNAL" not in str(got), got
        made = (got.get("data") or {}).get("exchangeApiKey")
        return made if made and made["code"] == "VALID" else None

    def own(self, which: int) -> str:
        held = [*self.secrets.values(), *self.tokens]
        return held[which % len(held)]

    def any_key(self, which: int) -> str:
        return self.all[which % len(self.all)]

    def took(self, answer: Any) -> None:
        if answer and answer["api_key"]:
            self.secrets[answer["api_key_id"]] = answer["api_key"]
            if answer["api_key_id"] not in self.all:
                self.all.append(answer["api_key_id"])

    @rule(
        by=WHICH,
        role=ROLES,
        user=st.sampled_from(["u1", "u2"]),
        rest=st.booleans(),
        scopes=GIVEN_SCOPES,
        ends=GIVEN_ENDS,
        networks=GIVEN_NETWORKS,
    )
    def create(self, by: int, role: str, user: str, rest: bool, scopes: Any, ends: Any, networks: Any) -> None:
        fields = {"scopes": scopes, "expires_at": ends, "allowed_addresses": networks}
        message = {"domain_id": self.domain, "user_id": user, "role": role, **fields}
        self.took(self.send(self.own(by), "create", rest, **message))
        self.check()

    @rule(by=WHICH, of=WHICH, rest=st.booleans(), scopes=GIVEN_SCOPES, ends=GIVEN_ENDS, networks=GIVEN_NETWORKS)
    def update(self, by: int, of: int, rest: bool, scopes: Any, ends: Any, networks: Any) -> None:
        fields = {"scopes": scopes, "expires_at": ends, "allowed_addresses": networks}
        self.send(self.own(by), "update", rest, domain_id=self.domain, api_key_id=self.any_key(of), **fields)
        self.check()

    @rule(by=WHICH, of=WHICH, rest=st.booleans(), ends=GIVEN_ENDS)
    def rotate(self, by: int, of: int, rest: bool, ends: Any) -> None:
        choice = {"overlap_seconds": 60, "if_overlapping": "END_OLDER", "expires_at": ends}
        message = {"domain_id": self.domain, "api_key_id": self.any_key(of), **choice}
        self.took(self.send(self.own(by), "rotate", rest, **message))
        self.check()

    @rule(by=WHICH, scopes=GIVEN_SCOPES)
    def exchange(self, by: int, scopes: Any) -> None:
        secret = self.own(by)
        made = self.exchanged(secret, scopes)
        if made is None:
            return
        assert secret not in self.tokens  # a token gives no other one
        self.tokens.append(made["accessToken"])
        if self.first["scopes"] is not None:
            assert made["scopes"] is not None
            assert set(made["scopes"]) <= set(self.first["scopes"])

    @rule(which=WHICH)
    def end_one(self, which: int) -> None:
        """Report a secret as leaked, or revoke a token; what is held first stays."""
        ended = self.own(which)
        if ended != self.kept:
            assert self.run(self.api.client.post("/revoke", data={"token": ended})).status_code == 200
            self.tokens = [token for token in self.tokens if token != ended]
        self.check()

    @rule(by=WHICH, of=WHICH, rest=st.booleans(), operation=st.sampled_from(["enable", "disable"]))
    def switch(self, by: int, of: int, rest: bool, operation: str) -> None:
        self.send(self.own(by), operation, rest, domain_id=self.domain, api_key_id=self.any_key(of))
        self.check()

    def check(self) -> None:
        """Nothing that is held may do more than the first key could."""
        for key_id in self.secrets:
            key, first = self.look(key_id), self.first
            note(f"held: {key}")
            assert key["domainId"] == self.domain
            self.check_role(key, first)
            self.check_scopes(key, first)
            self.check_end(key, first)
            if first["allowedAddresses"] is not None:
                (own,) = map(ip_network, first["allowedAddresses"])
                for network in map(ip_network, key["allowedAddresses"]):
                    assert network.version == own.version
                    assert network.subnet_of(own)  # type: ignore[arg-type]

    def check_role(self, key: Any, first: Any) -> None:
        allowed = {"USER", first["role"]} if first["role"] != "DOMAIN_OWNER" else {"USER", "VERIFIER", "DOMAIN_OWNER"}
        assert key["role"] in allowed

    def check_scopes(self, key: Any, first: Any) -> None:
        if first["scopes"] is not None:
            assert key["scopes"] is not None
            assert set(key["scopes"]) <= set(first["scopes"])
        elif first["role"] != "DOMAIN_OWNER":
            assert set(key["scopes"] or ()) <= OURS

    def check_end(self, key: Any, first: Any) -> None:
        if first["expiresAt"] is None or first["role"] == "DOMAIN_OWNER":
            return
        assert key["expiresAt"] is not None
        latest = datetime.fromisoformat(first["expiresAt"])
        if "identity:rotate" in (first["scopes"] or ()):  # it renews itself, by at most its lifetime
            assert self.lifetime is not None
            latest = datetime.now(UTC) + self.lifetime
        assert datetime.fromisoformat(key["expiresAt"]) <= latest


@pytest.fixture
def holder(settings: Settings) -> Iterator[type[Holder]]:
    """The rules of a service that runs in a thread: hypothesis knows no asynchronous ones."""
    loop, started = asyncio.new_event_loop(), threading.Event()
    stopping = asyncio.Event()

    async def serve() -> None:
        async with (
            Provider() as Holder.plain,
            Provider() as Holder.scoped,
            issuing(settings, creates_per_minute=0, issuers=_issuers()) as api,
        ):
            Holder.api, Holder.system = api, await api.make(domain_id="root")
            started.set()
            await stopping.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert started.wait(30)
    Holder.loop = loop
    Holder.domains = iter(range(1_000_000))
    yield Holder
    loop.call_soon_threadsafe(stopping.set)
    thread.join(30)
    loop.close()


def _issuers() -> tuple[OpenIDIssuer, ...]:
    roles = {role: role for role in ("USER", "VERIFIER", "DOMAIN_OWNER")}
    mapping: Any = {"audience": AUDIENCE, "domain_claim": "domain", "roles_claim": "groups", "roles": roles}
    return (
        OpenIDIssuer(issuer=Holder.plain.issuer, **mapping),
        OpenIDIssuer(issuer=Holder.scoped.issuer, scopes_claim="scope", **mapping),
    )


def test_no_sequence_of_operations_gives_more_than_a_key_has(holder: type[Holder]) -> None:
    few = settings(
        max_examples=12, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    run_state_machine_as_test(holder, settings=few)


@pytest.mark.slow
def test_no_long_sequence_of_operations_gives_more_than_a_key_has(holder: type[Holder]) -> None:
    many = settings(
        max_examples=50, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    run_state_machine_as_test(holder, settings=many)
