"""graphql-core's executor, made to give way: between the items of a long list, and when a resolver has returned."""

from asyncio import CancelledError, Future, ensure_future
from collections.abc import Collection
from typing import Any

from graphql.execution.collect_fields import FieldDetails
from graphql.pyutils import Path, gather_with_cancel
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from .turns import turns_of_this_loop

SHORT_LIST = 10  # items that are completed without a look at the clock


class CoreExecution(StrawberryGraphQLCoreExecutionContext):
    """As graphql-core executes, in slices of several turns of the event loop. It needs a running one."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._turns = turns_of_this_loop()

    async def complete_awaitable_value(
        self,
        return_type: Any,
        field_details_list: list[FieldDetails],
        info: Any,
        path: Path,
        result: Any,
        position_context: Any,
    ) -> Any:
        """As graphql-core. A thousand resolvers may start in one turn, and end in one."""
        return await super().complete_awaitable_value(
            return_type, field_details_list, info, path, self._in_turn(result), position_context
        )

    async def _in_turn(self, pending: Any) -> Any:
        if self._turns.is_over():
            await self._turns.wait(self)
        value = await pending
        if self._turns.is_over():
            await self._turns.wait(self)
        return value

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
