"""Lists, creates, disables and follows keys. Requests and responses have their types from the schema."""

# ruff: noqa: T201 - a command prints

import asyncio
import os
import sys
from typing import Any

import httpx
from api_keys_client import ApiKeysClient
from api_keys_client.async_base_client import Response
from api_keys_client.exceptions import GraphQLClientError, GraphQLClientGraphQLMultiError, GraphQLClientHttpError
from api_keys_client.fragments import Key
from api_keys_client.input_types import APIKeyChangedRequest, APIKeyQuery, APIKeyRequest, CreateAPIKeyRequest
from pydantic import ValidationError
from websockets.exceptions import WebSocketException

URL = os.environ.get("IDENTITY_URL", "http://127.0.0.1:8000/graphql")
DOMAIN = os.environ.get("IDENTITY_DOMAIN", "default")
HEADERS = {"Authorization": f"Bearer {os.environ.get('IDENTITY_KEY', '')}"}


async def main(arguments: list[str]) -> None:
    """Run the command that the arguments name."""
    socket_url = URL.replace("http", "ws", 1)
    client = KeysClient(URL, HEADERS, ws_url=socket_url, ws_connection_init_payload={**HEADERS})
    async with client:
        match arguments:
            case ["list"]:
                listed = await client.list_keys(APIKeyQuery(domain_id=DOMAIN))
                for key in listed.api_keys.results if listed.api_keys else []:
                    print(shown(key))
            case ["create", user_id, *name]:
                request = CreateAPIKeyRequest(domain_id=DOMAIN, user_id=user_id, name=" ".join(name) or None)
                if created := (await client.create_key(request)).create_api_key:
                    print(shown(created))
                    print(f"Keep the secret now, it is not shown again: {created.api_key}")
            case ["disable", api_key_id]:
                disabled = await client.disable_key(APIKeyRequest(domain_id=DOMAIN, api_key_id=api_key_id))
                if disabled.disable_api_key:
                    print(shown(disabled.disable_api_key))
            case ["follow"]:
                async for told in client.key_changed(APIKeyChangedRequest(domain_id=DOMAIN)):
                    print(told.api_key_changed.type_.value, shown(told.api_key_changed.api_key_info), flush=True)
            case _:
                sys.exit("Usage: python keys.py list | create USER_ID [NAME] | disable API_KEY_ID | follow")


def shown(key: Key) -> str:
    """Describe a key in one line."""
    return "  ".join((key.api_key_id, key.state.value, key.role.value, key.user_id, key.hint, key.name or ""))


class KeysClient(ApiKeysClient):
    """The generated client, which reads the errors of the service alone: a proxy's may have any form."""

    def get_data(self, response: Response) -> dict[str, Any]:
        """Return the data of a response, or raise what the service or a proxy says in place of it."""
        errors = errors_in(response)
        if not errors:
            return super().get_data(response)
        if all(is_of_service(error) for error in errors):
            raise GraphQLClientGraphQLMultiError.from_errors_dicts(errors)
        raise GraphQLClientHttpError(response.status_code, response)


def errors_in(response: Response) -> list[Any]:
    """Read the errors of a response, whoever wrote them."""
    try:
        answer = response.json()
    except ValueError:
        return []
    errors = answer.get("errors") if isinstance(answer, dict) else None
    return errors if isinstance(errors, list) else [errors] if errors else []


def is_of_service(error: Any) -> bool:
    """Tell whether an error has a message and a code, as each of the service has."""
    match error:
        case {"message": str(), "extensions": {"code": str()}}:
            return True
    return False


def told(error: Exception) -> str:
    """Describe an error in one line: code and message of the service, if it responded."""
    if isinstance(error, GraphQLClientGraphQLMultiError):
        refused = error.errors[0]
        return f"{(refused.extensions or {}).get('code')}: {refused.message}"
    if isinstance(error, ValidationError):  # its text has the values, which may be secrets
        return f"{URL} cannot be used: the response does not fit the schema"
    return f"{URL} cannot be used: {error}"


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1:]))
    except (GraphQLClientError, ValidationError, httpx.TransportError, WebSocketException, OSError) as error:
        sys.exit(told(error))
    except KeyboardInterrupt:
        sys.exit(130)
