"""The code of the link to GraphiQL is good for one exchange."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from gql_identity.settings import Settings
from gql_identity.storage import sign_in_codes
from gql_identity.storage.database import Database
from gql_identity.storage.sign_in_codes import SignInCodes
from tests.conftest import PEPPER, Api, running


@dataclass
class SignIn:
    api: Api
    codes: SignInCodes

    async def exchange(self, code: object) -> tuple[int, object]:
        response = await self.api.client.post("/sign-in", json={"code": code})
        return response.status_code, response.json().get("api_key") or response.json()["error"]["code"]


@pytest.fixture
async def sign_in(settings: Settings, tmp_path: Path) -> AsyncIterator[SignIn]:
    (tmp_path / "admin-key").write_text("gqlid_the-first-key\n")
    settings = settings.model_copy(update={"data_dir": tmp_path})
    async with running(settings) as api, Database(settings) as database:
        await database.prepare()
        yield SignIn(api, SignInCodes(database, PEPPER))


async def test_a_code_is_exchanged_once(sign_in: SignIn) -> None:
    code = await sign_in.codes.replace()
    outcomes = await asyncio.gather(*(sign_in.exchange(code) for _ in range(10)))
    assert sorted(outcomes, key=str) == [(200, "gqlid_the-first-key"), *[(401, "UNAUTHENTICATED")] * 9]


async def test_a_new_code_ends_the_one_before(sign_in: SignIn) -> None:
    before, after = await sign_in.codes.replace(), await sign_in.codes.replace()
    assert await sign_in.exchange(before) == (401, "UNAUTHENTICATED")
    assert await sign_in.exchange(after) == (200, "gqlid_the-first-key")


async def test_a_code_ends_after_an_hour(sign_in: SignIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sign_in_codes, "VALID_FOR", timedelta(0))
    assert await sign_in.exchange(await sign_in.codes.replace()) == (401, "UNAUTHENTICATED")


@pytest.mark.parametrize("code", [None, "", 1, "x" * 101, "é", {"$ne": ""}])
async def test_what_is_no_code_is_a_bad_request(sign_in: SignIn, code: object) -> None:
    await sign_in.codes.replace()
    assert await sign_in.exchange(code) == (400, "BAD_REQUEST")


async def test_without_the_first_keys_file_a_code_is_not_used_up(sign_in: SignIn) -> None:
    code, file = await sign_in.codes.replace(), sign_in.api.settings.data_dir / "admin-key"
    taken = file.rename(file.with_name("taken"))
    refused = await sign_in.api.client.post("/sign-in", json={"code": code})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "FAILED_PRECONDITION")
    assert "put it back" in refused.json()["error"]["message"]
    taken.rename(file)
    assert await sign_in.exchange(code) == (200, "gqlid_the-first-key")


async def test_a_wrong_code_tells_nothing_of_the_first_keys_file(sign_in: SignIn) -> None:
    used = await sign_in.codes.replace()
    assert await sign_in.exchange(used) == (200, "gqlid_the-first-key")
    await sign_in.codes.replace()
    (sign_in.api.settings.data_dir / "admin-key").unlink()
    for code in (used, "guessed"):
        assert await sign_in.exchange(code) == (401, "UNAUTHENTICATED")


async def test_a_file_of_the_first_key_that_is_no_text_is_told(sign_in: SignIn) -> None:
    code, file = await sign_in.codes.replace(), sign_in.api.settings.data_dir / "admin-key"
    file.write_bytes(b"\xff\xfe\n")
    assert await sign_in.exchange(code) == (409, "FAILED_PRECONDITION")
    file.write_text("gqlid_the-first-key\n")
    assert await sign_in.exchange(code) == (200, "gqlid_the-first-key")


async def test_without_a_code_there_is_nothing_to_exchange(sign_in: SignIn) -> None:
    assert await sign_in.exchange("guessed") == (401, "UNAUTHENTICATED")
