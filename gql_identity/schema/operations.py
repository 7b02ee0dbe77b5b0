"""Query, Mutation and Subscription. Each resolver has a line or two."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any

import strawberry
from strawberry import ID, UNSET
from strawberry.federation.schema_directives import Cost, ListSize
from strawberry.scalars import JSON

from ..deadlines import ends_in_time
from ..keys.verification import MAX_VERIFIED
from ..messages.audit import APIKeyAuditConnection
from ..messages.connections import CONNECTION_SIZE, ConnectionArguments, with_arguments
from ..messages.keys import (
    APIKeyChange,
    APIKeyConnection,
    APIKeyExchange,
    APIKeyInfo,
    APIKeyLeakReport,
    APIKeysInfo,
    APIKeyVerification,
    APIKeyViewer,
    DeletedAPIKey,
    DisabledAPIKeys,
    Node,
)
from ..messages.requests import (
    APIKeyAuditQuery,
    APIKeyChangedRequest,
    APIKeyQuery,
    APIKeyRequest,
    APIKeyStatQuery,
    CreateAPIKeyRequest,
    DisableAPIKeysRequest,
    ExchangeAPIKeyRequest,
    GetAPIKeyRequest,
    ReportLeakedAPIKeyRequest,
    RotateAPIKeyRequest,
    UpdateAPIKeyRequest,
    VerifyAPIKeyRequest,
)
from ..settings import Settings
from .context import Info
from .selection import selected, selected_parts

LARGEST_PAGE: int = Settings.model_fields["max_page_size"].default


def _list_size(assumed: int, *sized_fields: str) -> ListSize:
    """How many objects a field, or those of its fields, may return: no argument that gateways can read says it."""
    return ListSize(
        assumed_size=assumed,
        slicing_arguments=UNSET,
        sized_fields=list(sized_fields) or UNSET,
        require_one_slicing_argument=False,
    )


@strawberry.type(description="The operations that read.")
class Query:
    """The queries: get, list and stat of Cloudforet, and Relay's."""

    @strawberry.field(description="One key; null if there is none that the caller may see.")
    async def api_key(self, info: Info, input: GetAPIKeyRequest) -> APIKeyInfo | None:
        """Cloudforet's `get`."""
        return await info.context.api_keys.reads.find(input, info.context.caller, selected(info))

    @strawberry.field(description="The caller; null without a credential.")
    async def viewer(self, info: Info) -> APIKeyViewer | None:
        """The caller, and its key if that is selected."""
        if (caller := info.context.caller_if_any) is None:
            return None
        fields = selected(info, "apiKeyInfo") if "api_key_info" in selected(info) else None
        return await info.context.api_keys.reads.viewer(caller, fields)

    @strawberry.field(description="A page of a domain's keys.", directives=[_list_size(LARGEST_PAGE, "results")])
    async def api_keys(self, info: Info, input: APIKeyQuery) -> APIKeysInfo | None:
        """Cloudforet's `list`."""
        parts = selected(info)
        fields = selected(info, "results") if "results" in parts else None
        return await info.context.api_keys.lists.page(input, info.context.caller, fields, count="total_count" in parts)

    @strawberry.field(
        description="A statistic of a domain's keys: `{results: [...]}`, with `total_count` when paged. "
        'Keys per state: `aggregate: [{group: {keys: [{key: "state", name: "state"}], '
        'fields: [{operator: COUNT, name: "count"}]}}]`.',
        directives=[Cost(weight=15)],
    )
    async def api_key_stats(self, info: Info, input: APIKeyStatQuery) -> JSON | None:
        """Cloudforet's `stat`."""
        return JSON(await info.context.api_keys.statistics.stats(input, info.context.caller))

    @strawberry.field(
        description="The object with an opaque id; null if there is none that the caller may see (Relay)."
    )
    async def node(
        self, info: Info, id: Annotated[ID, strawberry.argument(description="The `id` of an object.")]
    ) -> Node | None:
        """Relay's `node`."""
        return await info.context.api_keys.reads.find_node(id, info.context.caller, selected(info))

    @strawberry.field(
        description="A domain's keys as a connection, in pages by cursor: for Relay, and for lists that people scroll.",
        directives=[CONNECTION_SIZE],
    )
    @with_arguments(ConnectionArguments)
    async def api_keys_connection(
        self,
        info: Info,
        domain_id: Annotated[
            ID | None, strawberry.argument(description="The domain of the keys. Default: the caller's domain.")
        ] = None,
        user_id: Annotated[ID | None, strawberry.argument(description="Only keys of this user.")] = None,
        **arguments: Any,
    ) -> APIKeyConnection | None:
        """As `apiKeys`, by cursors."""
        parts, caller = selected_parts(info), info.context.caller
        return await info.context.api_keys.lists.connection(
            domain_id, user_id, ConnectionArguments(**arguments), parts, caller
        )

    @strawberry.field(
        description="The audit log of the keys that the caller may see, including deleted ones; the oldest "
        "entry first. An entry appears when its change is stored, which may be after entries of later changes: to "
        "follow the log, read the last five minutes again, and drop the entries whose `id` you have.",
        directives=[CONNECTION_SIZE],
    )
    @with_arguments(APIKeyAuditQuery)
    async def api_key_audit(self, info: Info, **arguments: Any) -> APIKeyAuditConnection | None:
        """The audit log."""
        return await info.context.api_keys.audit.page(APIKeyAuditQuery(**arguments), info.context.caller)


@strawberry.type(description="The operations that change something.")
class Mutation:
    """The mutations: create, enable, disable and delete of Cloudforet, and verification."""

    @strawberry.mutation(
        description="Create a key. Its secret, `apiKey`, is returned once, in this response: store it now."
    )
    @ends_in_time
    async def create_api_key(self, info: Info, input: CreateAPIKeyRequest) -> APIKeyInfo | None:
        """Cloudforet's `create`."""
        return await info.context.api_keys.create(input, info.context.caller)

    @strawberry.mutation(description="Change a key's name, end, scopes, tags or addresses.")
    @ends_in_time
    async def update_api_key(self, info: Info, input: UpdateAPIKeyRequest) -> APIKeyInfo | None:
        """Change the fields that are given."""
        return await info.context.api_keys.update(input, info.context.caller)

    @strawberry.mutation(
        description="Replace a key's secret and keep its id. The new secret, `apiKey`, is returned once, in "
        "this response: store it now."
    )
    @ends_in_time
    async def rotate_api_key(self, info: Info, input: RotateAPIKeyRequest) -> APIKeyInfo | None:
        """Replace the secret, with an overlap."""
        return await info.context.api_keys.rotate(input, info.context.caller)

    @strawberry.mutation(
        description="End the older secret of a rotation before its overlap is over; a key cannot end the one it sends."
    )
    @ends_in_time
    async def end_api_key_overlap(self, info: Info, input: APIKeyRequest) -> APIKeyInfo | None:
        """Accept the newest secret alone."""
        return await info.context.api_keys.end_overlap(input, info.context.caller)

    @strawberry.mutation(description="Enable a disabled key.")
    @ends_in_time
    async def enable_api_key(self, info: Info, input: APIKeyRequest) -> APIKeyInfo | None:
        """Cloudforet's `enable`."""
        return await info.context.api_keys.enable(input, info.context.caller)

    @strawberry.mutation(description="Disable a key until it is enabled again.")
    @ends_in_time
    async def disable_api_key(self, info: Info, input: APIKeyRequest) -> APIKeyInfo | None:
        """Cloudforet's `disable`."""
        return await info.context.api_keys.disable(input, info.context.caller)

    @strawberry.mutation(
        description="Disable all keys that match, at most a thousand and never the caller's own: for example "
        "all keys of a user who leaves, or all keys that a stolen key created."
    )
    @ends_in_time
    async def disable_api_keys(self, info: Info, input: DisableAPIKeysRequest) -> DisabledAPIKeys | None:
        """Disable many keys."""
        return await info.context.api_keys.disabling.disable_matching(input, info.context.caller)

    @strawberry.mutation(
        description="Verify a secret; a valid one counts as used. It is a mutation, so that no secret is in a URL."
    )
    @ends_in_time
    async def verify_api_key(self, info: Info, input: VerifyAPIKeyRequest) -> APIKeyVerification | None:
        """Verify one secret."""
        return await info.context.api_keys.verification.verify(input, info.context.caller, "graphql")

    @strawberry.mutation(
        description="Verify up to 100 secrets; the results are in the same order.",
        directives=[_list_size(MAX_VERIFIED)],
    )
    @ends_in_time
    async def verify_api_keys(self, info: Info, input: list[VerifyAPIKeyRequest]) -> list[APIKeyVerification] | None:
        """Verify up to 100 secrets in one read."""
        return await info.context.api_keys.verification.verify_all(input, info.context.caller, "graphql")

    @strawberry.mutation(
        description="Exchange a secret for a short-lived token, which a gateway checks by itself. The token "
        "has the same rights as the key until it expires."
    )
    @ends_in_time
    async def exchange_api_key(self, info: Info, input: ExchangeAPIKeyRequest) -> APIKeyExchange | None:
        """Make a token."""
        return await info.context.tokens.exchange(input, info.context.caller)

    @strawberry.mutation(
        description="Disable the key of a leaked secret. Any caller may report one: for scanners, and for finders. "
        "The key's own role, or a higher one, enables it again."
    )
    @ends_in_time
    async def report_leaked_api_key(self, info: Info, input: ReportLeakedAPIKeyRequest) -> APIKeyLeakReport | None:
        """Disable a key by its secret."""
        return await info.context.api_keys.leaks.report_by(input, info.context.caller)

    @strawberry.mutation(description="Delete a key. It cannot be restored.")
    @ends_in_time
    async def delete_api_key(self, info: Info, input: APIKeyRequest) -> DeletedAPIKey | None:
        """Cloudforet's `delete`."""
        return await info.context.api_keys.delete(input, info.context.caller)


@strawberry.type(description="The events to follow.")
class Subscription:
    """Changes of keys; Cloudforet has no such operation."""

    @strawberry.subscription(description="Changes of the keys that the caller may see, from now on.")
    async def api_key_changed(self, info: Info, input: APIKeyChangedRequest) -> AsyncGenerator[APIKeyChange, None]:
        """Yield changes until the service stops; any other end is an error with its reason."""
        async with aclosing(info.context.changes.subscribe(input, info.context.caller)) as changes:
            async for change in changes:
                yield change
