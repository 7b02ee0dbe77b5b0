"""graphql-core's executor, made to give way: between the items of a long list, and when a resolver has returned."""

from asyncio import CancelledError, Future, ensure_future
from collections.abc import Collection, Generator
from functools import cache, partial
from inspect import iscoroutinefunction
from typing import Any

from graphql.execution.collect_fields import FieldDetails
from graphql.pyutils import Path, gather_with_cancel
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from .turns import Turns, turns_of_this_loop

SHORT_LIST = 10  # items that are completed without a look at the clock


class CoreExecution(StrawberryGraphQLCoreExecutionContext):
    """As graphql-core executes, in slices of several turns of the event loop. It needs a running one."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._turns = turns_of_this_loop()
        resolvers: Any = _ResolversInTurns(self._turns, self)
        self.middleware_manager = resolvers

    def complete_iterable_value(
        self,
        item_type: Any,
        field_details_list: list[FieldDetails],
        info: Any,
        path: Path,
        items: Any,
        position_context: Any,
    ) -> Any:
        """As graphql-core; a long list becomes an awaitable."""
        # Introspection returns views of dictionaries.
        if isinstance(items, Collection) and len(items) > SHORT_LIST:
            return self._complete_long_list(item_type, field_details_list, info, path, list(items), position_context)
        return super().complete_iterable_value(item_type, field_details_list, info, path, items, position_context)

    async def _complete_long_list(
        self,
        item_type: Any,
        field_details_list: list[FieldDetails],
        info: Any,
        path: Path,
        items: list[Any],
        position_context: Any,
    ) -> list[Any]:
        completed: list[Any] = []
        pending: dict[int, Future[Any]] = {}  # what waits for a resolver, by its index
        try:
            for index, item in enumerate(items):
                if self._turns.is_over():
                    await self._turns.wait(self)
                item_path = path.add_key(index, None)
                if self.is_awaitable(item):
                    completed.append(
                        self.complete_awaitable_list_item_value(
                            item, item_type, field_details_list, info, item_path, position_context
                        )
                    )
                elif not self.complete_list_item_value(
                    item, completed, item_type, field_details_list, info, item_path, position_context
                ):
                    continue
                pending[index] = ensure_future(completed[index])
        except CancelledError:
            for future in pending.values():
                future.cancel()
            raise
        except Exception:
            # As graphql-core: what has begun ends in the background, and so does what is awaitable among the rest.
            self.track_async_work([*pending.values(), *items[len(completed) :]])
            raise
        for index, value in zip(pending, await gather_with_cancel(*pending.values()), strict=True):
            completed[index] = value
        return completed


class _ResolversInTurns:
    """Has asynchronous resolvers begin and end in a turn that has time for them: a thousand may start in one.

    It stands in the place of graphql-core's middleware, which would wrap the resolver of every leaf.
    """

    def __init__(self, turns: Turns, owner: CoreExecution) -> None:
        self._turns = turns
        self._owner = owner

    def get_field_resolver(self, resolve: Any) -> Any:
        return partial(_InTurn, self._turns, self._owner, resolve) if _is_asynchronous(resolve) else resolve


_is_asynchronous = cache(iscoroutinefunction)


class _InTurn:
    """The result of a resolver, which is called when it is awaited: some never are, in a request that failed."""

    def __init__(self, turns: Turns, owner: CoreExecution, resolve: Any, *arguments: Any, **named: Any) -> None:
        self._turns = turns
        self._owner = owner
        self._resolve = partial(resolve, *arguments, **named)

    def __await__(self) -> Generator[Any, None, Any]:
        return self._result().__await__()

    async def _result(self) -> Any:
        if self._turns.is_over():
            await self._turns.wait(self._owner)
        value = await self._resolve()
        if self._turns.is_over():
            await self._turns.wait(self._owner)
        return value
