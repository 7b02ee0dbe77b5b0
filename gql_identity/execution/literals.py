"""Validates the literals of a document; each error names its argument, and its place in it."""

from typing import Any

from graphql import (
    SKIP,
    ArgumentNode,
    GraphQLError,
    GraphQLInputType,
    ValueNode,
    ValuesOfCorrectTypeRule,
    VariableDefinitionNode,
    VisitorAction,
    specified_rules,
)
from graphql.utilities import validate_input_literal


class _NamedLiteralsRule(ValuesOfCorrectTypeRule):
    """As graphql-core's rule, whose errors tell only the value."""

    _holder = _name = ""  # of the literal that is visited next

    def enter_argument(self, node: ArgumentNode, *_: Any) -> None:
        self._name = node.name.value
        self._holder = f"Argument '{self._name}'"

    def enter_variable_definition(self, node: VariableDefinitionNode, *_: Any) -> None:
        self._name = node.variable.name.value
        self._holder = f"The default of variable '${self._name}'"

    def is_valid_value_node(self, node: ValueNode, input_type: GraphQLInputType | None) -> VisitorAction:
        def report(error: GraphQLError, path: list[str | int]) -> None:
            at = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
            # The words of graphql-core's errors about variables.
            error.message = f"{self._holder} has invalid value{at and f' at {at}'}: {error.message}"
            error.extensions = {"path": [self._name, *path]}
            self.report_error(error)

        if input_type is not None:
            validate_input_literal(node, input_type, report, None, None, self.context.hide_suggestions)
        return SKIP  # what is in it was validated with it


RULES = [_NamedLiteralsRule if rule is ValuesOfCorrectTypeRule else rule for rule in specified_rules]
