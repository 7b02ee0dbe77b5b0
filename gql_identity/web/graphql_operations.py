"""GraphQL operations, found, run and refused alike over HTTP, in a batch, as events and over WebSocket."""

from collections.abc import AsyncGenerator

from graphql import GraphQLError

from ..errors import ServiceError
from ..execution.answer import Answer, RequestError, refusal
from ..execution.executor import Executor
from ..execution.operation import Operation
from ..execution.request import Request
from ..keys.access import Caller
from ..keys.api_keys import ApiKeys
from ..keys.changes import Changes
from ..schema.context import Context
from ..schema.visibility import hidden_fields
from ..settings import Settings
from ..storage.database import DEADLINE
from .deadline import in_time


class GraphQLOperations:
    """The operations that requests name."""

    def __init__(self, executor: Executor, api_keys: ApiKeys, changes: Changes, settings: Settings) -> None:
        self._executor = executor
        self._api_keys = api_keys
        self._changes = changes
        self._introspection_for = settings.introspection_for
        self._timeout_seconds = settings.operation_timeout_seconds

    def find(self, request: Request, caller: Caller | None) -> Operation:
        """The operation that a request names, which the caller may run; raises RequestError."""
        authenticated = caller is not None
        hidden = hidden_fields(self._introspection_for, authenticated=authenticated)
        # Only a caller may register a document, so that nobody else can fill the store.
        return self._executor.operation(request, hidden, may_store=authenticated)

    async def answer(self, operation: Operation, request: Request, caller: Caller | None) -> Answer:
        """The answer to a query or mutation; raises RequestError for one that costs too much."""
        context = Context(self._api_keys, self._changes, caller)
        return await self._executor.execute(operation, request, context)

    async def answers(
        self, operation: Operation, request: Request, caller: Caller | None
    ) -> AsyncGenerator[Answer, None]:
        """One answer to a query or mutation, an answer for each event of a subscription.

        An error that is expected, and a deadline that passed, is the last answer.
        """
        try:
            if not operation.is_subscription:
                yield await in_time(self.answer(operation, request, caller), self._timeout_seconds)
                return
            # A subscription outlasts the deadline of the request; each read below it has the database's own.
            DEADLINE.set(None)
            context = Context(self._api_keys, self._changes, caller)
            async for answer in self._executor.stream(operation, request, context):
                yield answer
        except (RequestError, ServiceError) as error:
            yield refused(error)


def error_codes(answer: Answer) -> set[str]:
    """The codes of an answer's errors."""
    return {error["extensions"]["code"] for error in answer.errors}


def refused(error: RequestError | ServiceError) -> Answer:
    """The answer to a request that an error stopped before it ran."""
    if isinstance(error, RequestError):
        return refusal(*error.errors)
    return refusal(GraphQLError(error.message, extensions=error.extensions))
