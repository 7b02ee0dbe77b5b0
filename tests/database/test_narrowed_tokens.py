"""A token with fewer scopes than its key gives its holder nothing of what the key has beside them."""

from typing import Any

import pytest

from tests.conftest import Api, Person
from tests.database.test_forward_auth import key_with
from tests.database.test_tokens import service, token_of

__all__ = ["service"]

ROTATE = """mutation($i: RotateAPIKeyRequest!) { rotateApiKey(input: $i) { apiKey scopes } }"""


async def rotated(api: Api, key: Person, token: str) -> Any:
    given = {"domainId": "d1", "apiKeyId": key.key_id, "ifOverlapping": "END_OLDER"}
    return await api.run(ROTATE, {"i": given}, token)


@pytest.mark.parametrize("narrowed", [["identity:write"], ["identity:rotate"], ["identity:rotate", "identity:write"]])
async def test_it_rotates_no_key_to_get_a_secret_with_all_scopes(service: Api, narrowed: list[str]) -> None:
    key = await key_with(service, scopes=["identity:write", "identity:rotate", "orders:write"])
    answer = await rotated(service, key, await token_of(service, key, scopes=narrowed))
    (error,) = answer["errors"]
    assert error["extensions"]["code"] == "PERMISSION_DENIED"
    assert "fewer scopes" in error["message"]
    # A token with all of them may.
    assert "errors" not in await rotated(service, key, await token_of(service, key))


async def test_nor_where_the_key_has_no_list(service: Api) -> None:
    key = await key_with(service)
    answer = await rotated(service, key, await token_of(service, key, scopes=["identity:write"]))
    assert answer["errors"][0]["extensions"]["code"] == "PERMISSION_DENIED"
    assert "errors" not in await rotated(service, key, await token_of(service, key))
