"""Formulas of the worked cases, in exact fractions. Imports nothing of the project.

A number is read as the decimal it is written as: 0.14 is 14/100, not the nearest float. + - * / and
whole powers stay exact; sqrt, exp, ln and N (the normal distribution) are computed to 40 digits.
"""

from __future__ import annotations

import ast
import operator
from decimal import Decimal, localcontext
from fractions import Fraction

DIGITS = 50
OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
}


def evaluate(text: str, names: dict[str, Fraction]) -> Fraction:
    """The value of one formula; `names` are inputs and formulas before it."""
    return _value(ast.parse(text.strip(), mode="eval").body, names, text)


def _value(node: ast.AST, names: dict[str, Fraction], text: str) -> Fraction:
    if isinstance(node, ast.Constant):
        return Fraction(ast.get_source_segment(text.strip(), node).replace("_", ""))
    if isinstance(node, ast.Name):
        return names[node.id]
    if isinstance(node, ast.UnaryOp):
        return OPERATORS[type(node.op)](_value(node.operand, names, text))
    if isinstance(node, ast.BinOp):
        left, right = _value(node.left, names, text), _value(node.right, names, text)
        if isinstance(node.op, ast.Pow) and right.denominator != 1:
            return power(left, right)
        return OPERATORS[type(node.op)](left, right)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return FUNCTIONS[node.func.id](*(_value(a, names, text) for a in node.args))
    raise SyntaxError(f"not a formula: {ast.dump(node)}")


def _decimal(x: Fraction) -> Decimal:
    return Decimal(x.numerator) / Decimal(x.denominator)


def sqrt(x: Fraction) -> Fraction:
    with localcontext() as context:
        context.prec = DIGITS
        return Fraction(_decimal(x).sqrt())


def exp(x: Fraction) -> Fraction:
    with localcontext() as context:
        context.prec = DIGITS
        return Fraction(_decimal(x).exp())


def ln(x: Fraction) -> Fraction:
    with localcontext() as context:
        context.prec = DIGITS
        return Fraction(_decimal(x).ln())


def power(x: Fraction, y: Fraction) -> Fraction:
    return exp(y * ln(x))


def normal(x: Fraction) -> Fraction:
    """The normal distribution by its series: 1/2 + pdf(x) (x + x^3/3 + x^5/15 + ...)."""
    with localcontext() as context:
        context.prec = DIGITS + 20
        z = _decimal(x)
        if abs(z) > 12:
            return Fraction(int(z > 0))
        term = total = z
        k = 1
        while abs(term) > Decimal(10) ** -(DIGITS + 10) and k < 2000:
            k += 2
            term = term * z * z / k
            total += term
        pi = Decimal("3.14159265358979323846264338327950288419716939937510582097494459")
        return Fraction(Decimal("0.5") + total * (-z * z / 2).exp() / (2 * pi).sqrt())


def black(call: Fraction, f: Fraction, k: Fraction, vol: Fraction, t: Fraction) -> Fraction:
    """Undiscounted Black-76: call 1, put 0."""
    spread = vol * sqrt(t)
    d1 = ln(f / k) / spread + spread / 2
    d2 = d1 - spread
    if call:
        return f * normal(d1) - k * normal(d2)
    return k * normal(-d2) - f * normal(-d1)


def black_delta(call: Fraction, f: Fraction, k: Fraction, vol: Fraction, t: Fraction) -> Fraction:
    """d price / d forward."""
    spread = vol * sqrt(t)
    d1 = ln(f / k) / spread + spread / 2
    return normal(d1) if call else -normal(-d1)


FUNCTIONS = {
    "min": min,
    "max": max,
    "abs": abs,
    "sqrt": sqrt,
    "exp": exp,
    "ln": ln,
    "N": normal,
    "black": black,
    "black_delta": black_delta,
}
