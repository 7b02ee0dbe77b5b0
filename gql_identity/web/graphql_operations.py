"""Finding and running GraphQL operations, the same for HTTP, batches, event streams and WebSockets."""

from collections.abc import AsyncGenerator, Awaitable, Coroutine
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import structlog
from graphql import GraphQLError
from starlette.types import Scope

from .. import traces
from ..deadlines import DEADLINE
from ..errors import Internal, ServiceError, Unauthenticated
from ..execution.answer import Answer, RequestError, refusal
from ..execution.executor import Executor, WhenLarge, too_many_values
from ..execution.operation import Operation
from ..execution.request import Request
from ..execution.values import count_values
from ..keys.access import Caller
from ..keys.api_keys import ApiKeys
from ..keys.changes import Changes
from ..metrics import OPERATIONS
from ..schema.context import Context
from ..schema.visibility import hidden_fields, may_be_gateway, may_read_schema
from ..settings import Settings
from .deadline import in_time
from .envelope import note_errors
from .proxies import is_forwarded

if TYPE_CHECKING:
    from ..tokens.exchange import Tokens

log = structlog.get_logger()

OTHER_VALUES = 20  # of a request, beside its variables
# BAD_REQUEST has several, and GraphQL's own codes have none: 400 for both.
_STATUSES = {kind.code: kind.status for kind in ServiceError.__subclasses__() if hasattr(kind, "status")}


class GraphQLOperations:
    """Finds and runs the operations of requests."""

    def __init__(
        self, executor: Executor, api_keys: ApiKeys, changes: Changes, settings: Settings, tokens: "Tokens | None"
    ) -> None:
        self._executor = executor
        self._tokens = tokens
        self._api_keys = api_keys
        self._changes = changes
        self._introspection_for = settings.introspection_for
        self._introspection_through_proxies = settings.introspection_through_proxies
        self._exempts_gateways = settings.trusted_documents is not None and settings.trusted_documents_for == "users"
        self._timeout_seconds = settings.operation_timeout_seconds

    def use(self, executor: Executor) -> None:
        """Run operations with another executor from now on; those that run go on with theirs."""
        self._executor = executor

    @property
    def documents(self) -> int:
        """How many documents are kept parsed and validated."""
        return self._executor.documents

    async def find(self, request: Request, caller: Caller | None, scope: Scope, owner: str | None) -> Operation:
        """The operation of a request. Raises RequestError, also where the caller may not run it.

        A document that must be parsed waits for the turn of `owner`, the client's name; None does not wait.
        """
        if caller is None:
            # Only callers with a key may register documents, so that nobody else can fill the store.
            readers = self._introspection_through_proxies if is_forwarded(scope) else self._introspection_for
            return await self._executor.operation(request, hidden_fields(readers, None), owner=owner)
        return await self._executor.operation(
            request,
            hidden_fields(self._introspection_for, caller.role),
            owner=owner,
            may_store=True,
            any_document=self._exempts_gateways and may_be_gateway(caller.role),
        )

    def answer(
        self, operation: Operation, request: Request, caller: Caller | None, when_large: WhenLarge | None = None
    ) -> Coroutine[Any, Any, Answer]:
        """Run a query or mutation; if its response may be large, `when_large` is awaited first.

        Raises RequestError where its cost is too high, and what `when_large` raises.
        """
        answering = self._answer(operation, request, caller, when_large)
        return _traced(answering, operation) if traces.is_on else answering

    async def _answer(
        self, operation: Operation, request: Request, caller: Caller | None, when_large: WhenLarge | None
    ) -> Answer:
        context = Context(self._api_keys, self._changes, caller, self._tokens)
        if caller is None:
            return await self._executor.execute_without_key(operation, request, context, when_large)
        suggests = may_read_schema(self._introspection_for, authenticated=True)
        return await self._executor.execute(operation, request, context, when_large, suggests=suggests)

    async def answers(
        self, operation: Operation, request: Request, caller: Caller | None, when_large: WhenLarge | None = None
    ) -> AsyncGenerator[Answer, None]:
        """Yield one response to a query or mutation, as `answer` does, or one for each event of a subscription.

        An expected error, a passed deadline included, is yielded as the last response.
        """
        span = None
        try:
            if not operation.is_subscription:
                yield await in_time(self.answer(operation, request, caller, when_large), self._timeout_seconds)
                return
            if caller is None:
                raise Unauthenticated
            span = traces.begin_subscription(operation.type, operation.trusted_name)
            # A subscription has no deadline of its own; each of its reads has the database's timeout.
            DEADLINE.set(None)
            context = Context(self._api_keys, self._changes, caller, self._tokens)
            async with aclosing(self._executor.stream(operation, request, context)) as answers:
                async for answer in answers:
                    yield answer
        except (RequestError, ServiceError) as error:
            yield refused(error)
        finally:
            if span is not None:
                span.end()


def check_size(sent: Any, max_values: int) -> None:
    """Raise RequestError for the JSON of a request, or of a batch, with more values in all than its variables may have.

    For long ones, before anything waits: JSON takes 20 times its bytes once it is parsed.
    """
    requests = len(sent) if isinstance(sent, list) else 1
    if count_values([sent], most := (max_values + OTHER_VALUES) * requests, 1) > most:
        raise too_many_values(max_values)


async def _traced(answering: Awaitable[Answer], operation: Operation) -> Answer:
    with traces.operation(operation.type, operation.trusted_name) as span:
        answer = await answering
        if answer.errors:
            span.set_attribute("error.type", answer.errors[0]["extensions"]["code"])
        return answer


def error_codes(answer: Answer) -> set[str]:
    """The codes of a response's errors."""
    return {error["extensions"]["code"] for error in answer.errors}


def count_operation(operation_type: str | None, last_answer: Answer | None) -> None:
    """Count an operation that ended with this answer; None where its client had enough before."""
    if OPERATIONS.is_on:
        errors = [] if last_answer is None else last_answer.errors
        OPERATIONS.add(operation_type or "unknown", errors[0]["extensions"]["code"] if errors else "OK")


def end_operation(scope: Scope, operation_type: str | None, answer: Answer) -> None:
    """Count an operation that ended with this answer, and note the codes of its errors in its request's log line."""
    count_operation(operation_type, answer)
    note_answer(scope, answer)


def note_answer(scope: Scope, answer: Answer) -> None:
    """Note the codes of an answer's errors in its request's log line."""
    if answer.errors:
        note_errors(scope, *error_codes(answer))


def status_of(answer: Answer) -> int:
    """The HTTP status of a response's error codes, for logs of responses that have no status of their own."""
    if answer.executed:
        return 200
    return max((_STATUSES.get(code, 400) for code in error_codes(answer)), default=400)


def refused(error: RequestError | ServiceError) -> Answer:
    """The response to a request that failed before it ran, or that was ended."""
    if isinstance(error, RequestError):
        return refusal(*error.errors)
    return refusal(GraphQLError(error.message, original_error=error))  # which is spelled as in the schema


def unexpected(error: Exception) -> Answer:
    """The response to an operation that failed by a bug in the service, which is logged."""
    log.error("unexpected error", exc_info=error)
    return refused(Internal(structlog.contextvars.get_contextvars().get("request_id")))
