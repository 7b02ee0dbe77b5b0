"""Rotation: two secrets at most, each accepted until its end and not after it, whoever rotates at the same time."""

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from websockets.exceptions import ConnectionClosed

from gql_identity.keys import rotation, validity, writes
from tests.conftest import PEPPER, Api, Person, listening, mongo_client, running

from .conftest import Before, lose_commits
from .test_expiry import Clock, ahead
from .test_scopes import create
from .test_subscriptions import change, connected, subscribe, told
from .test_verification import introspect, verify

ROTATE = """mutation($i: RotateAPIKeyRequest!) { rotateApiKey(input: $i) {
    apiKeyId apiKey hint expiresAt rotatedAt state secrets { hint createdAt expiresAt lastAccessedAt } } }"""
END = "mutation($i: APIKeyRequest!) { endApiKeyOverlap(input: $i) { secrets { hint } } }"
SECRETS = 'query($k: ID!) { apiKey(input: {domainId: "d1", apiKeyId: $k}) { hint secrets { hint lastAccessedAt } } }'
UPDATE = "mutation($i: UpdateAPIKeyRequest!) { updateApiKey(input: $i) { expiresAt } }"
DISABLE = "mutation($i: APIKeyRequest!) { disableApiKey(input: $i) { state } }"


async def rotate(api: Api, by: Person | str, target: Person, **input: Any) -> Any:
    return await api.run(ROTATE, {"i": {"domainId": "d1", "apiKeyId": target.key_id, **input}}, by)


async def rotated(api: Api, by: Person | str, target: Person, **input: Any) -> Any:
    answer = await rotate(api, by, target, **input)
    assert "errors" not in answer, answer
    return answer["data"]["rotateApiKey"]


def code(answer: Any) -> str | None:
    return answer["errors"][0]["extensions"]["code"] if "errors" in answer else None


async def opens(api: Api, *secrets: str) -> list[bool]:
    return [(await api.send("{ __typename }", by=secret)).status_code == 200 for secret in secrets]


async def test_both_secrets_open_until_the_older_ones_end_on_every_door(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    system, gateway, user = await api.make(), await api.make("VERIFIER"), await api.make("USER")
    made = await rotated(api, system, user, overlapSeconds=100)
    new, old = made["apiKey"], user.secret
    assert (made["apiKeyId"], made["hint"], new == old) == (user.key_id, f"gqlid_...{new[-4:]}", False)
    assert [one["hint"][-4:] for one in made["secrets"]] == [new[-4:], old[-4:]]
    end = datetime.fromisoformat(made["secrets"][1]["expiresAt"])
    assert (end - datetime.fromisoformat(made["rotatedAt"])) == timedelta(seconds=100)
    read = {"api_key_id": user.key_id, "domain_id": "d1"}

    async def doors(secret: str) -> list[Any]:
        headers = {"Authorization": f"Bearer {secret}"}
        rest = await api.client.post("/identity/v1/api-key/get", json=read, headers=headers)
        batch = [found for found, *_ in await verify(api, gateway, secret, secret)]
        active = (await introspect(api, gateway, token=secret)).json()["active"]
        return [*await opens(api, secret), rest.status_code, *batch, active]

    monkeypatch.setattr(validity, "datetime", Clock)
    good = [True, 200, "VALID", "VALID", True]
    for _ in range(2):
        Clock.at = end - timedelta(milliseconds=1)
        assert [await doors(new), await doors(old)] == [good, good]
        Clock.at = end
        assert [await doors(new), await doors(old)] == [good, [False, 401, "ROTATED", "ROTATED", False]]
    Clock.at = end + rotation.KEPT_FOR
    await asyncio.sleep(0.6)
    assert [found for found, *_ in await verify(api, gateway, old)] == ["NOT_FOUND"]


async def test_without_an_overlap_the_old_secret_ends_everywhere_within_a_second(api: Api) -> None:
    system, user = await api.make(), await api.make("USER")
    async with running(api.settings) as another_worker:
        assert await opens(another_worker, user.secret) == [True]
        made = await rotated(api, system, user, overlapSeconds=0)
        assert await opens(api, user.secret) == [False]
        await asyncio.sleep(1)
        assert await opens(another_worker, user.secret, made["apiKey"]) == [False, True]
    assert len(made["secrets"]) == 1
    # The one that leaked may be the newer one: an overlap of 0 ends both.
    second = (await rotated(api, system, user, overlapSeconds=60))["apiKey"]
    third = (await rotated(api, system, user, overlapSeconds=0))["apiKey"]
    assert await opens(api, made["apiKey"], second, third) == [False, False, True]


async def test_a_subscription_ends_with_the_secret_that_it_was_made_with(api: Api) -> None:
    system, user = await api.make(user_id="admin"), await api.make("USER")
    async with (
        listening(api.app) as address,
        connected(address, user) as websocket,
        connected(address, system) as other,
    ):
        await subscribe(websocket)
        await subscribe(other, types=["ROTATED"])
        await rotated(api, system, user, overlapSeconds=0)
        assert (await told(other))[0] == "ROTATED"
        ended = await told(websocket)
        assert (ended["type"], ended["payload"][0]["extensions"]["code"]) == ("error", "UNAUTHENTICATED")


async def test_of_rotations_at_the_same_time_one_wins_and_the_others_get_no_secret(api: Api) -> None:
    system, user = await api.make(), await api.make("USER")
    answers = await asyncio.gather(*(rotate(api, system, user) for _ in range(8)))
    won = [answer["data"]["rotateApiKey"]["apiKey"] for answer in answers if "errors" not in answer]
    assert len(won) == 1
    assert {code(answer) for answer in answers if "errors" in answer} == {"FAILED_PRECONDITION"}
    assert await opens(api, user.secret, *won) == [True, True]


async def test_however_many_rotate_at_once_on_two_workers_never_three_secrets_open(api: Api) -> None:
    """Invariant 1, also where a rotation may end a secret that overlaps."""
    system, user = await api.make(), await api.make("USER")
    secrets = [user.secret]
    async with running(api.settings) as another_worker:
        for _ in range(3):
            answers = await asyncio.gather(
                *(
                    rotate(worker, system, user, ifOverlapping=choice, overlapSeconds=3600)
                    for worker in (api, another_worker)
                    for choice in ("END_OLDER", "REPLACE_NEWER", "REFUSE")
                )
            )
            assert {code(answer) for answer in answers} <= {None, "FAILED_PRECONDITION", "UNAVAILABLE"}
            won = [answer["data"]["rotateApiKey"] for answer in answers if "errors" not in answer]
            assert won
            assert {len(made["secrets"]) for made in won} == {2}
            secrets += [made["apiKey"] for made in won]
            await asyncio.sleep(1)
            accepted = await opens(api, *secrets)
            assert accepted.count(True) == 2
            assert await opens(another_worker, *secrets) == accepted


async def test_the_older_secret_ends_on_sockets_streams_and_proxies_too(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariant 2, on the doors where a secret is not looked up for each request."""
    system, user = await api.make(), await api.make("USER")
    made = await rotated(api, system, user, overlapSeconds=100)
    end = datetime.fromisoformat(made["secrets"][1]["expiresAt"])
    monkeypatch.setattr(validity, "datetime", Clock)
    stream = {"query": 'subscription { apiKeyChanged(input: {domainId: "d1"}) { type } }'}

    async def doors(address: str, secret: str) -> list[bool]:
        headers = {"Authorization": f"Bearer {secret}"}
        asked = await api.client.get("/authz", headers=headers)
        try:
            async with connected(address, Person("", secret, "", "")):
                socket = True
        except (AssertionError, ConnectionClosed):
            socket = False
        refused = False
        async with (
            httpx.AsyncClient(trust_env=False) as client,
            client.stream(
                "POST", f"http://{address}/graphql", json=stream, headers=headers | {"Accept": "text/event-stream"}
            ) as response,
        ):
            if response.status_code != 200:
                refused = True
            else:
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.3):
                        refused = "UNAUTHENTICATED" in (await anext(response.aiter_text()))
        return [asked.status_code == 200, socket, not refused]

    async with listening(api.app) as address:
        Clock.at = end - timedelta(milliseconds=1)
        assert [await doors(address, secret) for secret in (made["apiKey"], user.secret)] == [[True] * 3] * 2
        Clock.at = end
        assert await doors(address, made["apiKey"]) == [True] * 3
        assert await doors(address, user.secret) == [False] * 3


async def test_where_two_overlap_the_request_says_which_one_ends(api: Api) -> None:
    system = await api.make()
    for choice, expected in (("END_OLDER", [False, True, True]), ("REPLACE_NEWER", [True, False, True])):
        user = await api.make("USER")
        second = (await rotated(api, system, user))["apiKey"]
        assert code(await rotate(api, system, user)) == "FAILED_PRECONDITION"
        made = await rotated(api, system, user, ifOverlapping=choice, overlapSeconds=500)
        assert await opens(api, user.secret, second, made["apiKey"]) == expected
        assert len(made["secrets"]) == 2
        ended = await api.data(END, {"i": {"domainId": "d1", "apiKeyId": user.key_id}}, system)
        assert ended["endApiKeyOverlap"] == {"secrets": [{"hint": made["hint"]}]}
        assert await opens(api, user.secret, second, made["apiKey"]) == [False, False, True]


async def test_however_often_the_newer_secret_is_replaced_the_older_one_stays(api: Api) -> None:
    """Invariant 2."""
    system, gateway, user = await api.make(), await api.make("VERIFIER"), await api.make("USER")
    made = [(await rotated(api, system, user))["apiKey"]]
    for _ in range(12):
        made.append((await rotated(api, system, user, ifOverlapping="REPLACE_NEWER"))["apiKey"])
        assert await opens(api, user.secret, made[-1]) == [True, True]
    with mongo_client(api.settings) as client:
        stored = client.get_default_database().api_keys.find_one({"_id": user.key_id})
    assert stored is not None
    assert [one["number"] for one in stored["secrets"]] == [14, *range(13, 3, -1), 1]
    assert len(stored["digest"]) == len(stored["pepper"]) == 12
    # Of the ended ones those stay that ended last: its users shall be told.
    third = (await rotated(api, system, user, ifOverlapping="END_OLDER"))["apiKey"]
    found = [code for code, *_ in await verify(api, gateway, user.secret, made[1], made[-2], made[-1], third)]
    assert found == ["ROTATED", "NOT_FOUND", "ROTATED", "VALID", "VALID"]


async def test_a_key_that_rotates_itself_never_ends_the_secret_that_it_sent(api: Api) -> None:
    """Invariant 10: it could not send the request again."""
    request_id = "a-request-of-mine-0"
    for sent_newer, choice, other in ((False, "END_OLDER", "REPLACE_NEWER"), (True, "REPLACE_NEWER", "END_OLDER")):
        system, user = await api.make(), await api.make("USER")
        newer = (await rotated(api, system, user))["apiKey"]
        sent = newer if sent_newer else user.secret
        input_ = {"overlapSeconds": 3600, "requestId": request_id}
        (error,) = (await rotate(api, sent, user, ifOverlapping=choice, **input_))["errors"]
        assert error["extensions"]["code"] == "FAILED_PRECONDITION"
        assert f"`{other}`" in error["message"]
        # Not the newer one, where the older one goes on: its use would end that.
        assert await opens(api, *([user.secret, newer] if sent_newer else [user.secret])) == [True] * (1 + sent_newer)
        made = await rotated(api, sent, user, ifOverlapping=other, **input_)
        assert await opens(api, user.secret, newer) == [not sent_newer, sent_newer]
        assert (await rotated(api, sent, user, ifOverlapping=other, **input_))["apiKey"] == made["apiKey"]
        assert await opens(api, made["apiKey"]) == [True]


async def test_a_key_does_not_end_the_secret_that_it_sent_with_an_overlap(api: Api) -> None:
    system, user = await api.make(), await api.make("USER")
    newer = (await rotated(api, system, user))["apiKey"]
    one = {"i": {"domainId": "d1", "apiKeyId": user.key_id}}
    # Who never got the newer one would have none.
    assert await api.code(END, one, user) == "FAILED_PRECONDITION"
    assert await opens(api, user.secret, newer) == [True, True]
    assert len((await api.data(END, one, newer))["endApiKeyOverlap"]["secrets"]) == 1
    assert await opens(api, user.secret, newer) == [False, True]


OTHER_ADDRESSES = "that may be used from other addresses than itself"
ALL_ADDRESSES = "that may be used from all of its addresses"


@pytest.mark.parametrize(
    ("caller", "other", "refused", "able"),
    [
        ({"allowedAddresses": ["127.0.0.0/8"]}, {}, OTHER_ADDRESSES, ALL_ADDRESSES),
        (
            {"allowedAddresses": ["127.0.0.0/8"]},
            {"allowedAddresses": ["127.0.0.1", "10.0.0.0/8"]},
            OTHER_ADDRESSES,
            ALL_ADDRESSES,
        ),
        ({"expiresAt": "2090-01-01T00:00:00Z"}, {}, "that ends later than itself", "that ends no earlier"),
        (
            {"scopes": ["identity:read", "identity:write"]},
            {},
            "without scopes, as it has scopes itself",
            "without scopes",
        ),
        (
            {"scopes": ["identity:write"]},
            {"scopes": ["identity:write", "b:x", "a:x"]},
            "with a:x, b:x, which it does not have",
            "that has them",
        ),
    ],
)
async def test_a_key_that_may_do_more_is_not_rotated_and_the_error_says_what_to_do(
    api: Api, caller: dict[str, Any], other: dict[str, Any], refused: str, able: str
) -> None:
    told = (
        f"This key may not get the secret of a key {refused}. "
        f"Rotate that key with its own secret, or with a key {able}."
    )
    system = await api.make()
    _, by = await create(api, system, **caller)
    _, target = await create(api, system, **other)
    (error,) = (await rotate(api, by, target))["errors"]
    assert error["message"] == told
    assert error["extensions"] == {"code": "PERMISSION_DENIED"}
    # What the error says to do works.
    assert (await rotated(api, target, target))["apiKey"]
    headers = {"Authorization": f"Bearer {by.secret}"}
    body = {"domain_id": "d1", "api_key_id": target.key_id, "if_overlapping": "END_OLDER"}
    answer = await api.client.post("/identity/v1/api-key/rotate", json=body, headers=headers)
    assert answer.json() == {"error": {"code": "PERMISSION_DENIED", "message": told}}


async def test_errors_name_fields_as_each_api_spells_them(api: Api) -> None:
    system = await api.make()
    _, user = await create(api, system)
    await rotated(api, system, user)
    _, short = await create(api, system, expiresAt=ahead(seconds=0.2))
    await asyncio.sleep(0.3)
    two = "Two secrets of this key are accepted already. Give `END_OLDER` or `REPLACE_NEWER` as `{}`: which one ends."
    sent = (
        "This would end the secret that you sent, so that you could not send the request again if its response is "
        "lost. Give `REPLACE_NEWER` as `{}`, or send the other secret."
    )
    expired = "This key has expired. Give another end with the rotation, as `{}`."
    for by, target, choice, text, in_rest, in_graphql in (
        (system, user, "REFUSE", two, "if_overlapping", "ifOverlapping"),
        (user, user, "END_OLDER", sent, "if_overlapping", "ifOverlapping"),
        (system, short, "REFUSE", expired, "expires_at", "expiresAt"),
    ):
        body = {"domain_id": "d1", "api_key_id": target.key_id, "if_overlapping": choice}
        headers = {"Authorization": f"Bearer {by.secret}"}
        answer = (await api.client.post("/identity/v1/api-key/rotate", json=body, headers=headers)).json()
        assert answer == {"error": {"code": "FAILED_PRECONDITION", "message": text.format(in_rest)}}
        (error,) = (await rotate(api, by, target, ifOverlapping=choice))["errors"]
        assert error["message"] == text.format(in_graphql)


async def test_a_rotation_does_not_move_the_end_and_no_overlap_passes_it(api: Api) -> None:
    system = await api.make()
    end = ahead(hours=1)
    _, user = await create(api, system, expiresAt=end)
    made = await rotated(api, system, user)
    assert (made["expiresAt"], made["secrets"][1]["expiresAt"]) == (end, end)
    later = ahead(days=9)
    made = await rotated(api, system, user, expiresAt=later, ifOverlapping="END_OLDER", overlapSeconds=60)
    assert made["expiresAt"] == later
    _, short = await create(api, system, expiresAt=ahead(seconds=0.2))
    await asyncio.sleep(0.3)
    assert code(await rotate(api, system, short)) == "FAILED_PRECONDITION"
    assert (await rotated(api, system, short, expiresAt=later))["expiresAt"] == later
    disabled = await api.make("USER")
    await change(api, "disableApiKey", system, disabled)
    assert (await rotated(api, system, disabled))["state"] == "DISABLED"


async def test_an_overlap_never_passes_an_end_that_is_moved_later(api: Api) -> None:
    """Invariant 4."""
    system = await api.make()
    _, user = await create(api, system, expiresAt=ahead(days=9))
    overlap = (await rotated(api, system, user, overlapSeconds=5 * 86_400))["secrets"][1]["expiresAt"]
    secrets = f'{{ apiKey(input: {{apiKeyId: "{user.key_id}"}}) {{ secrets {{ expiresAt }} }} }}'
    verified = "mutation($i: VerifyAPIKeyRequest!) { verifyApiKey(input: $i) { code secretExpiresAt } }"
    for end, expected in ((ahead(days=1), None), (ahead(days=8), overlap)):
        await api.data(UPDATE, {"i": {"domainId": "d1", "apiKeyId": user.key_id, "expiresAt": end}}, system)
        shown = (await api.data(secrets, by=system))["apiKey"]["secrets"]
        assert [one["expiresAt"] for one in shown] == [None, expected or end]
        found = (await api.data(verified, {"i": {"apiKey": user.secret}}, system))["verifyApiKey"]
        assert found == {"code": "VALID", "secretExpiresAt": expected or end}


async def test_the_old_secret_manages_nothing_once_the_new_one_was_used(api: Api) -> None:
    _, user = await create(api, await api.make(), scopes=["identity:rotate", "identity:write", "identity:read"])
    assert code(await rotate(api, user, user, overlapSeconds=59)) == "INVALID_ARGUMENT"
    new = (await rotated(api, user, user, overlapSeconds=60))["apiKey"]
    # The response was lost: the older secret rotates again.
    newest = (await rotated(api, user, user, overlapSeconds=60, ifOverlapping="REPLACE_NEWER"))["apiKey"]
    assert await opens(api, new, newest) == [False, True]
    await api.uses_written()
    await asyncio.sleep(0.6)
    one = {"i": {"domainId": "d1", "apiKeyId": user.key_id}}
    for document in (ROTATE, UPDATE, END, DISABLE):
        assert await api.code(document, one, user) == "PERMISSION_DENIED", document
    another = 'mutation { createApiKey(input: {domainId: "d1", userId: "u1", scopes: []}) { id } }'
    assert await api.code(another, by=user) == "PERMISSION_DENIED"
    assert await api.run(another, by=newest) is not None
    shown = await api.data(SECRETS, {"k": user.key_id}, user)
    assert [secret["lastAccessedAt"] is None for secret in shown["apiKey"]["secrets"]] == [False, False]


async def test_the_scope_rotate_moves_its_own_end_by_the_lifetime_it_was_made_with(api: Api) -> None:
    system = await api.make()
    _, user = await create(api, system, scopes=["identity:rotate"], expiresAt=ahead(days=1))
    own = {"domainId": "d1", "apiKeyId": user.key_id}
    end = ahead(hours=23.9)
    assert (await api.data(UPDATE, {"i": {**own, "expiresAt": ahead(hours=1)}}, user))["updateApiKey"] is not None
    assert (await api.data(UPDATE, {"i": {**own, "expiresAt": end}}, user))["updateApiKey"] == {"expiresAt": end}
    for denied in ({"expiresAt": ahead(days=2)}, {"expiresAt": None}, {"name": "n", "expiresAt": end}):
        assert await api.code(UPDATE, {"i": {**own, **denied}}, user) == "PERMISSION_DENIED", denied
    assert (await rotated(api, user, user))["apiKey"]
    _, long = await create(api, system, scopes=["identity:rotate"], expiresAt="9999-01-01T00:00:00Z")
    ends = {"domainId": "d1", "apiKeyId": long.key_id, "expiresAt": "9999-12-31T00:00:00Z"}
    assert await api.code(UPDATE, {"i": ends}, long) == "PERMISSION_DENIED"
    assert code(await rotate(api, user, await api.make("USER"))) == "PERMISSION_DENIED"


async def test_a_key_renews_itself_for_the_lifetime_that_a_client_computed(api: Api) -> None:
    """A request takes a while, and clocks differ by some seconds."""
    system = await api.make()
    # As clients compute it: some time before, and with clocks that are behind or ahead.
    for made_with, renewed_for in (
        (90 * 86_400, 90 * 86_400),
        (7_775_998, 7_776_000),
        (7_776_002, 7_776_003),
        (100, 100),
    ):
        _, user = await create(api, system, scopes=["identity:rotate"], expiresAt=ahead(seconds=made_with))
        own = {"domainId": "d1", "apiKeyId": user.key_id, "expiresAt": (end := ahead(seconds=renewed_for))}
        assert await api.data(UPDATE, {"i": own}, user) == {"updateApiKey": {"expiresAt": end}}, made_with
        end = ahead(seconds=renewed_for)
        assert (await rotated(api, user, user, expiresAt=end, overlapSeconds=60))["expiresAt"] == end


async def test_a_key_that_was_stored_with_a_second_less_renews_itself_and_a_minute_more_is_refused(api: Api) -> None:
    system = await api.make()
    _, user = await create(api, system, scopes=["identity:rotate"], expiresAt=ahead(days=90))
    own = {"domainId": "d1", "apiKeyId": user.key_id}
    with mongo_client(api.settings) as client:
        keys = client.get_default_database().api_keys
        keys.update_one({"domain_id": "d1", "_id": user.key_id}, {"$set": {"lifetime_seconds": 7_775_999}})
    end = ahead(days=90)
    assert await api.data(UPDATE, {"i": {**own, "expiresAt": end}}, user) == {"updateApiKey": {"expiresAt": end}}
    for later in (ahead(days=90, seconds=40), ahead(days=91), None):
        (error,) = (await api.run(UPDATE, {"i": {**own, "expiresAt": later}}, user))["errors"]
        assert error["extensions"]["code"] == "PERMISSION_DENIED"
        assert error["message"] == (
            "expiresAt: this key may set its own end at most 90 days ahead of now: the lifetime that it was made with."
        )


async def test_renewals_of_keys_that_made_one_another_add_no_time(api: Api) -> None:
    maker, made_with = await api.make(), {"days": 1}
    for _ in range(3):
        scopes = ["identity:rotate", "identity:write"]
        _, key = await create(api, maker, scopes=scopes, expiresAt=ahead(**made_with))
        own = {"domainId": "d1", "apiKeyId": key.key_id}
        for seconds, is_allowed in ((28, True), (40, False)):
            answer = await api.run(UPDATE, {"i": {**own, "expiresAt": ahead(days=1, seconds=seconds)}}, key)
            assert code(answer) == (None if is_allowed else "PERMISSION_DENIED")
        maker, made_with = key, {"days": 1, "seconds": 26}


async def test_nobody_rotates_a_key_that_may_do_more_than_their_own(api: Api) -> None:
    system = await api.make()
    _, plain = await create(api, system)
    _, listed = await create(api, system, scopes=["identity:write", "a"])
    _, ending = await create(api, system, expiresAt=ahead(days=1))
    _, with_a = await create(api, system, scopes=["a"])
    _, with_b = await create(api, system, scopes=["b"], expiresAt=ahead(hours=1))
    denied = "PERMISSION_DENIED"
    for caller, target, expected in [
        (plain, ending, None),
        (plain, with_a, denied),
        (listed, with_a, None),
        (listed, with_b, denied),
        (listed, plain, denied),
        (ending, plain, denied),
        (ending, with_b, denied),
        (system, with_b, None),
    ]:
        assert code(await rotate(api, caller, target, ifOverlapping="END_OLDER")) == expected


@pytest.mark.parametrize("overlap", [-1, 2_592_001])
async def test_an_overlap_that_cannot_be_is_refused(api: Api, overlap: int) -> None:
    system, user = await api.make(), await api.make("USER")
    assert code(await rotate(api, system, user, overlapSeconds=overlap)) == "INVALID_ARGUMENT"
    with mongo_client(api.settings) as client:
        stored = client.get_default_database().api_keys.find_one({"_id": user.key_id})
    assert stored is not None
    assert "secrets" not in stored


async def test_a_move_to_another_pepper_loses_no_secret(api: Api) -> None:
    system, user = await api.make(), await api.make("USER")
    second = (await rotated(api, system, user))["apiKey"]
    new = "another pepper that is as long as one has to be"
    peppers = {"pepper": SecretStr(new), "peppers_retired": (SecretStr(PEPPER),)}
    async with running(api.settings.model_copy(update=peppers)) as moved:
        assert await opens(moved, user.secret, second) == [True, True]
        # A rotation comes between the reads and the writes of the moves.
        third = (await rotated(moved, system, user, ifOverlapping="END_OLDER"))["apiKey"]
        await moved.uses_written()
        assert await opens(moved, user.secret, second, third) == [False, True, True]
        await asyncio.sleep(0.6)
        assert await opens(moved, second, third) == [True, True]
        await moved.uses_written()
    with mongo_client(api.settings) as client:
        client.get_default_database().meta.update_one({"_id": "meta"}, {"$set": {"peppers": []}})
    async with running(api.settings.model_copy(update={"pepper": SecretStr(new)})) as only_new:
        assert await opens(only_new, second, third) == [True, True]


async def test_moves_to_another_pepper_and_rotations_that_race_lose_neither(api: Api) -> None:
    """Invariant 5, with writes of both at the same time."""
    system = await api.make()
    users = [await api.make("USER") for _ in range(10)]
    new = "another pepper that is as long as one has to be"
    peppers = {"pepper": SecretStr(new), "peppers_retired": (SecretStr(PEPPER),)}
    async with running(api.settings.model_copy(update=peppers)) as moved:
        assert all(await opens(moved, *[user.secret for user in users]))  # the moves wait to be written
        *made, _ = await asyncio.gather(*[rotated(moved, system, user) for user in users], moved.uses_written())
        both = [secret for user, one in zip(users, made, strict=True) for secret in (user.secret, one["apiKey"])]
        assert all(await opens(moved, *both))
        await moved.uses_written()
    with mongo_client(api.settings) as client:
        client.get_default_database().meta.update_one({"_id": "meta"}, {"$set": {"peppers": []}})
    async with running(api.settings.model_copy(update={"pepper": SecretStr(new)})) as only_new:
        assert all(await opens(only_new, *both))


async def test_rest_rotates_alike(api: Api) -> None:
    system, user = await api.make(), await api.make("USER")
    headers = {"Authorization": f"Bearer {system.secret}"}
    one = {"api_key_id": user.key_id, "domain_id": "d1"}

    async def send(operation: str, **body: Any) -> Any:
        return (await api.client.post(f"/identity/v1/api-key/{operation}", json=one | body, headers=headers)).json()

    made = await send("rotate", overlap_seconds=60)
    assert [set(secret) for secret in made["secrets"]] == [{"hint", "created_at", "expires_at", "last_accessed_at"}] * 2
    assert await opens(api, made["api_key"]) == [True]
    assert (await send("rotate"))["error"]["code"] == "FAILED_PRECONDITION"
    for overlap in (2_592_001, 2**31, 99_999_999_999, -(2**31) - 1):
        error = (await send("rotate", overlap_seconds=overlap))["error"]
        told = f"overlap_seconds: give 0 to 2592000, not {overlap}."
        assert error == {"code": "INVALID_ARGUMENT", "message": told, "path": ["overlap_seconds"]}
    assert len((await send("end-overlap"))["secrets"]) == 1
    assert (await send("get"))["api_key"] is None


@pytest.mark.parametrize("is_written", [True, False])
async def test_the_outcome_is_unknown_where_the_write_failed_alone(
    api: Api, before: Before, monkeypatch: pytest.MonkeyPatch, is_written: bool
) -> None:
    system, user = await api.make(), await api.make("USER")
    if is_written:
        lose_commits(monkeypatch)
    else:
        monkeypatch.setattr(writes, "ATTEMPTS", 1)
        rename = (
            f'mutation {{ updateApiKey(input: {{domainId: "d1", apiKeyId: "{user.key_id}", name: "n"}}) {{ name }} }}'
        )
        before(lambda name, _: name == "update", lambda: api.data(rename, by=system))
    rotation = f'mutation {{ rotateApiKey(input: {{domainId: "d1", apiKeyId: "{user.key_id}"}}) {{ apiKey }} }}'
    (error,) = (await api.run(rotation, by=system))["errors"]
    assert error["extensions"]["code"] == "UNAVAILABLE"
    assert ("Whether the secret was replaced is unknown" in error["message"]) == is_written
    assert error["extensions"].get("apiKeyId") == (user.key_id if is_written else None)
