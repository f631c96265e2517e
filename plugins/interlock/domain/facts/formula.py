"""
How a fact follows from others: arithmetic over the values of its inputs, written down with it and done again to check.

``a`` is the first input, ``b`` the second. A division by zero has no value, which is not zero.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation, localcontext

from interlock.errors import ConfigurationError

_OPERATORS: dict[type[ast.operator], Callable[[Decimal, Decimal], Decimal]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
PLACES = Decimal(1).scaleb(-10)
"""Results have 10 digits after the point."""


def compute(formula: str, values: Sequence[Decimal | None]) -> Decimal | None:
    """
    Return what *formula* gives for *values*, by name ``a``, ``b`` …; None: one is missing, or it divides by zero.

    :raises ConfigurationError: it is no arithmetic over as many values.
    """
    names = {chr(ord("a") + position): value for position, value in enumerate(values)}
    if any(value is None for value in values):
        return None
    with localcontext(prec=50):
        try:
            return _value(ast.parse(formula, mode="eval").body, names).quantize(PLACES).normalize() + 0
        except (ZeroDivisionError, InvalidOperation):  # the latter is what 0 by 0 is
            return None
        except (SyntaxError, KeyError, TypeError) as error:
            raise ConfigurationError(f"{formula!r} is no arithmetic over {', '.join(names)}: {error}") from None


def _value(node: ast.expr, names: dict[str, Decimal | None]) -> Decimal:
    match node:
        case ast.Name(id=name):
            found = names[name]
            assert found is not None
            return found
        case ast.Constant(value=int() as number):
            return Decimal(number)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, names)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_value(left, names), _value(right, names))
    raise TypeError(f"{ast.unparse(node)} is not allowed")
