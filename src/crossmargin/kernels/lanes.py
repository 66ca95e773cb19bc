"""Sums of weighted rows held in vector registers: the inner loop of every pool kernel.

In     rows (I, S) of one unit of each instrument, and the holdings of one pool.
Out    `accumulate_*`: the pool's row, written to scratch. `worst_*`: its largest entry, and where.
Owns   the vector instructions. Everything else of a kernel is written in plain numba.
Never  checks a bound, knows a sign, or sees more than one pool.
Signs  none: sums are sums. A larger entry is a worse one.
Spec   docs/architecture.md, "Kernels and threads"

Why not a plain loop: the compiler keeps the running sums in memory and reloads them for every
few holdings, and the search for the largest entry stays scalar; measured, that is 2.5 to 3 times
slower. Here WIDTH columns of one pool stay in registers while its holdings pass by, and the rows
of the holdings AHEAD places on are fetched early. Products are fused (one rounding).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from crossmargin.base.arrays import F64, I32
from crossmargin.kernels.compiled import compiled

LANES = 8  # doubles in a vector: one 512-bit register, or two or four smaller ones
AHEAD = 8  # holdings: about one pool, the time a row needs to come from the second-level cache

_I1, _I32, _I64 = ir.IntType(1), ir.IntType(32), ir.IntType(64)
_DOUBLE, _VOID = ir.DoubleType(), ir.VoidType()
_VECTOR = ir.VectorType(_DOUBLE, LANES)


def aligned_zeros(n_rows: int, n_columns: int) -> F64:
    """Return zeros (n_rows, n_columns) that begin on a cache line, so that no vector of a row
    with a multiple of LANES columns lies across two."""
    flat = np.zeros(n_rows * n_columns + LANES)
    skip = -(flat.ctypes.data // 8) % LANES
    return flat[skip : skip + n_rows * n_columns].reshape(n_rows, n_columns)


@intrinsic
def fma(context, x, y, z):  # type: ignore[no-untyped-def]
    """x * y + z with one rounding, said in so many words instead of allowed by a fast-math flag."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.fma(*args)

    return types.float64(types.float64, types.float64, types.float64), codegen


@compiled
def items_within(item: I32, start: int, stop: int, n_rows: int) -> bool:
    """Tell whether all of item[start:stop] are rows of a table of n_rows: nothing below checks."""
    lowest, highest = np.int32(0), np.int32(0)
    for holding in range(start, stop):
        lowest = min(lowest, item[holding])
        highest = max(highest, item[holding])
    return bool(lowest >= 0 and (highest < n_rows or start == stop))


def _make_accumulate(width: int) -> Any:
    @intrinsic
    def accumulate(context, out, rows, item, quantity, start, stop, column):  # type: ignore[no-untyped-def]
        signature = types.void(out, rows, item, quantity, start, stop, column)

        def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
            sums = _weighted_rows(context, builder, signature.args[1:], args[1:], width)
            out = _data(context, builder, signature.args[0], args[0])
            for j, total in enumerate(sums):
                place = builder.add(args[6], _I64(j * LANES))
                builder.store(total, _vector_at(builder, out, place), align=8)
            return context.get_dummy_value()

        return signature, codegen

    return accumulate


def _make_worst(width: int) -> Any:
    @intrinsic
    def worst(context, rows, item, quantity, start, stop, column, taint):  # type: ignore[no-untyped-def]
        signature = types.Tuple((types.float64, types.int64, types.float64))(
            rows, item, quantity, start, stop, column, taint
        )

        def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
            tainted = _data(context, builder, signature.args[6], args[6])
            *sums, doubt = _weighted_rows(context, builder, signature.args, args, width, tainted)
            top = _largest(builder, sums)
            place = builder.add(args[5], _first_equal(builder, sums, top))
            return context.make_tuple(builder, signature.return_type, [top, place, doubt])

        return signature, codegen

    return worst


@intrinsic
def largest_64(context, row, column):  # type: ignore[no-untyped-def]
    """The largest of row[column : column + 64]; of a NaN among them nothing is promised."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return _largest(builder, _vectors_of(context, builder, signature, args))

    return types.float64(row, column), codegen


@intrinsic
def not_below_64(context, row, column, least):  # type: ignore[no-untyped-def]
    """64 bits: bit j is set where row[column + j] is not below `least`, so also where it is NaN."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        wanted, vectors = _splat(builder, args[2]), _vectors_of(context, builder, signature, args)
        return _bits(builder, [builder.fcmp_unordered(">=", x, wanted) for x in vectors])

    return types.uint64(row, column, types.float64), codegen


@intrinsic
def lowest_bit(context, bits):  # type: ignore[no-untyped-def]
    """The place of the lowest bit that is set; 64 where none is."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.cttz(args[0], _I1(0))

    return types.int64(types.uint64), codegen


def _vectors_of(context: Any, builder: Any, signature: Any, args: Any) -> list[Any]:
    """Return the eight vectors of row[column : column + 64]."""
    row = _data(context, builder, signature.args[0], args[0])
    places = (builder.add(args[1], _I64(j)) for j in range(0, 64, LANES))
    return [builder.load(_vector_at(builder, row, place), align=8) for place in places]


def _weighted_rows(
    context: Any, builder: Any, kinds: Any, args: Any, width: int, taint: Any = None
) -> list[Any]:
    """Return width / LANES vectors: sum over holdings of quantity x row, from `column` on; where
    `taint` is given, one number more: the sum of quantity x taint."""
    rows, item, quantity = (
        _data(context, builder, kind, value)
        for kind, value in zip(kinds[:3], args[:3], strict=True)
    )
    n_columns = _shape(context, builder, kinds[0], args[0])[1]
    last = builder.sub(_shape(context, builder, kinds[1], args[1])[0], _I64(1))
    start, stop, column = args[3:6]
    sums = [cgutils.alloca_once(builder, _VECTOR) for _ in range(width // LANES)]
    for place in sums:
        builder.store(ir.Constant(_VECTOR, [0.0] * LANES), place)
    doubt = cgutils.alloca_once_value(builder, ir.Constant(_DOUBLE, 0.0))
    fma = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(_VECTOR, [_VECTOR] * 3), f"llvm.fma.v{LANES}f64"
    )

    def item_of(holding: Any) -> Any:
        return builder.zext(builder.load(builder.gep(item, [holding])), _I64)

    def row_of(index: Any) -> Any:
        return builder.gep(rows, [builder.add(builder.mul(index, n_columns), column)])

    with cgutils.for_range_slice(builder, start, stop, _I64(1), _I64) as (holding, _):
        ahead = builder.add(holding, _I64(AHEAD))
        ahead = builder.select(builder.icmp_signed("<", ahead, last), ahead, last)
        _fetch(builder, row_of(item_of(ahead)), width)
        index = item_of(holding)
        number = builder.load(builder.gep(quantity, [holding]))
        weight, row = _splat(builder, number), row_of(index)
        if taint is not None:
            part = builder.fmul(number, builder.load(builder.gep(taint, [index])))
            builder.store(builder.fadd(builder.load(doubt), part), doubt)
        for j, place in enumerate(sums):
            part = builder.load(_vector_at(builder, row, _I64(j * LANES)), align=8)
            builder.store(builder.call(fma, [weight, part, builder.load(place)]), place)
    places = sums if taint is None else [*sums, doubt]
    return [builder.load(place) for place in places]


def _fetch(builder: Any, row: Any, width: int) -> None:
    """Ask for `width` doubles from `row` on, to be in the first-level cache soon."""
    pointer = ir.IntType(8).as_pointer()
    prefetch = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(_VOID, [pointer, _I32, _I32, _I32]), "llvm.prefetch.p0"
    )
    for j in range(0, width, 8):  # 8 doubles: one cache line
        line = builder.bitcast(builder.gep(row, [_I64(j)]), pointer)
        builder.call(prefetch, [line, _I32(0), _I32(3), _I32(1)])  # read, keep, data


def _largest(builder: Any, vectors: list[Any]) -> Any:
    """Return the largest number in `vectors`, which hold no NaN."""
    while len(vectors) > 1:
        pairs = zip(vectors[::2], vectors[1::2], strict=True)
        vectors = [_larger(builder, x, y) for x, y in pairs]
    vector, n = vectors[0], LANES
    while n > 1:
        n //= 2
        low, high = (
            builder.shuffle_vector(
                vector, vector, ir.Constant(ir.VectorType(_I32, n), list(range(at, at + n)))
            )
            for at in (0, n)
        )
        vector = _larger(builder, low, high)
    return builder.extract_element(vector, _I32(0))


def _larger(builder: Any, x: Any, y: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", x, y), x, y)


def _first_equal(builder: Any, vectors: list[Any], value: Any) -> Any:
    """Return the lowest place in `vectors` that holds `value`: one bit a place, count zeros."""
    wanted = _splat(builder, value)
    bits = _bits(builder, [builder.fcmp_ordered("==", vector, wanted) for vector in vectors])
    return builder.cttz(bits, _I1(0))


def _bits(builder: Any, answers: list[Any]) -> Any:
    """Return vectors of true and false as bits, the first in the lowest."""
    bits = _I64(0)
    for j, answer in enumerate(answers):
        mask = builder.zext(builder.bitcast(answer, ir.IntType(LANES)), _I64)
        bits = builder.or_(bits, builder.shl(mask, _I64(j * LANES)))
    return bits


def _splat(builder: Any, number: Any) -> Any:
    empty = ir.Constant(_VECTOR, ir.Undefined)
    one = builder.insert_element(empty, number, _I32(0))
    return builder.shuffle_vector(one, empty, ir.Constant(ir.VectorType(_I32, LANES), [0] * LANES))


def _data(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    return context.make_array(kind)(context, builder, value).data


def _shape(context: Any, builder: Any, kind: Any, value: Any) -> list[Any]:
    array = context.make_array(kind)(context, builder, value)
    return list(cgutils.unpack_tuple(builder, array.shape))


def _vector_at(builder: Any, base: Any, place: Any) -> Any:
    return builder.bitcast(builder.gep(base, [place]), _VECTOR.as_pointer())


accumulate_64 = _make_accumulate(64)
accumulate_8 = _make_accumulate(8)
worst_64 = _make_worst(64)
worst_32 = _make_worst(32)
worst_8 = _make_worst(8)
