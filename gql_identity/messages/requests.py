"""The request messages: those of Cloudforet's API keys, and those of added operations."""

import strawberry
from strawberry import ID

from .query import APIKeyListQuery, APIKeyStatisticsQuery
from .values import APIKeyRole, APIKeyState


@strawberry.input(name="CreateAPIKeyRequest", description="What a new key is to be.")
class CreateAPIKeyRequest:
    """Cloudforet's `CreateAPIKeyRequest`, with a name and a role."""

    user_id: ID = strawberry.field(description="The user that the key is for; 1 to 255 characters.")
    domain_id: ID = strawberry.field(description="The domain of that user; 1 to 255 characters.")
    name: str | None = strawberry.field(
        default=None, description="What to call it, as in `ci`; at most 255 characters."
    )
    role: APIKeyRole = strawberry.field(default=APIKeyRole.USER, description="What it may do.")


@strawberry.input(name="APIKeyRequest", description="Which key to enable, disable or delete.")
class APIKeyRequest:
    """Cloudforet's `APIKeyRequest`."""

    api_key_id: ID = strawberry.field(description="The key's public id.")
    domain_id: ID = strawberry.field(description="The domain that it belongs to.")


@strawberry.input(name="GetAPIKeyRequest", description="Which key to read.")
class GetAPIKeyRequest:
    """Cloudforet's `GetAPIKeyRequest`."""

    api_key_id: ID = strawberry.field(description="The key's public id.")
    domain_id: ID = strawberry.field(description="The domain that it belongs to.")
    only: list[str] | None = strawberry.field(
        default=None, description="The fields wanted; selecting another is an error. Without it all may be selected."
    )


@strawberry.input(name="APIKeyQuery", description="Which keys to list.")
class APIKeyQuery:
    """Cloudforet's `APIKeyQuery`."""

    query: APIKeyListQuery | None = strawberry.field(default=None, description="Conditions, order, page and fields.")
    api_key_id: ID | None = strawberry.field(default=None, description="Only the key of this id.")
    state: APIKeyState | None = strawberry.field(default=None, description="Only keys in this state.")
    user_id: ID | None = strawberry.field(default=None, description="Only keys of this user.")
    domain_id: ID = strawberry.field(description="The domain whose keys are listed.")


@strawberry.input(name="APIKeyStatQuery", description="Which statistic of a domain's keys.")
class APIKeyStatQuery:
    """Cloudforet's `APIKeyStatQuery`."""

    query: APIKeyStatisticsQuery = strawberry.field(description="What to count, and how.")
    domain_id: ID = strawberry.field(description="The domain whose keys are counted.")


@strawberry.input(name="VerifyAPIKeyRequest", description="A secret to ask about.")
class VerifyAPIKeyRequest:
    """The request of `verifyApiKey`, which Cloudforet does not have."""

    api_key: str = strawberry.field(description="The secret that somebody sent.")


@strawberry.input(name="APIKeyChangedRequest", description="Whose keys to follow.")
class APIKeyChangedRequest:
    """The request of `apiKeyChanged`, which Cloudforet does not have."""

    domain_id: ID = strawberry.field(description="The domain whose keys are followed.")
    user_id: ID | None = strawberry.field(default=None, description="Only keys of this user.")
