"""Eight floats at a time, for kernels: what a loop does with vector instructions, said instead of hoped for.

A place in memory is an address and how many bytes after it, and nothing is checked. All this is called in compiled code
only. Lanes are added and multiplied with + and *: a product that is added at once may be fused with the sum; otherwise
everything is rounded in the order that is written.
"""

import operator
from collections.abc import Sequence
from functools import partial, reduce
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.datamodel import models, register_default
from numba.extending import intrinsic, overload

from .compiled import LANES

STEP = 4 * LANES
"""Bytes of one."""

_VECTOR = ir.VectorType(ir.FloatType(), LANES)
_INT = ir.IntType(32)
_FUSED = ("contract",)

# Of two vectors, the numbers to which those so many places further are added; until each lane is a sum.
_HALVES = ((4, (0, 1, 2, 3, 8, 9, 10, 11)), (2, (0, 1, 8, 9, 4, 5, 12, 13)), (1, (0, 2, 8, 10, 4, 6, 12, 14)))


class Lanes(types.Type):
    """The type of eight floats."""


lanes = Lanes("lanes")


@register_default(Lanes)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)


def _place(builder: Any, at: Any, q: Any) -> Any:
    return builder.bitcast(builder.gep(builder.inttoptr(at, ir.IntType(8).as_pointer()), [q]), _VECTOR.as_pointer())


def _row(builder: Any, rows: Any, k: int, q: Any) -> Any:
    return builder.load(_place(builder, builder.extract_value(rows, k), q), align=4)


def _shuffled(builder: Any, a: Any, b: Any, order: Sequence[int]) -> Any:
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_INT, LANES), list(order)))


@intrinsic
def address(_context: Any, array: Any) -> Any:
    """Where an array's numbers begin."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        struct = context.make_array(signature.args[0])(context, builder, arguments[0])
        return builder.ptrtoint(struct.data, ir.IntType(64))

    return types.int64(array), code


@intrinsic
def load(_context: Any, at: Any, q: Any) -> Any:
    """Eight floats from byte q after an address on."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.load(_place(builder, *arguments), align=4)

    return lanes(types.int64, types.int64), code


@intrinsic
def store(_context: Any, at: Any, q: Any, value: Any) -> Any:
    """Put eight floats to byte q after an address and on."""

    def code(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        at, q, value = arguments
        builder.store(value, _place(builder, at, q), align=4)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, lanes), code


@intrinsic
def addresses(_context: Any, at: Any, like: Any) -> Any:
    """As many addresses as a tuple has members, from where they lie one after the other."""
    result = types.UniTuple(types.int64, len(like))

    def code(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        first = builder.inttoptr(arguments[0], ir.IntType(64).as_pointer())
        found = [builder.load(builder.gep(first, [ir.Constant(_INT, k)])) for k in range(len(like))]
        return context.make_tuple(builder, result, found)

    return result(types.int64, like), code


@intrinsic
def spread(_context: Any, value: Any) -> Any:
    """Lanes that all hold one number."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        first = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), arguments[0], ir.Constant(_INT, 0))
        return _shuffled(builder, first, first, [0] * LANES)

    return lanes(types.float32), code


@intrinsic
def spread_all(_context: Any, numbers: Any) -> Any:
    """For each of some numbers, lanes that all hold it."""
    result = types.UniTuple(lanes, len(numbers))

    def code(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        firsts = [
            builder.insert_element(
                ir.Constant(_VECTOR, ir.Undefined), builder.extract_value(arguments[0], k), ir.Constant(_INT, 0)
            )
            for k in range(len(numbers))
        ]
        return context.make_tuple(builder, result, [_shuffled(builder, a, a, [0] * LANES) for a in firsts])

    return result(numbers), code


@intrinsic
def spread_each(_context: Any, value: Any, like: Any) -> Any:
    """For as many of the lanes as a tuple has members, lanes that all hold that one's number."""
    result = types.UniTuple(lanes, len(like))

    def code(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        spread = [_shuffled(builder, arguments[0], arguments[0], [k] * LANES) for k in range(len(like))]
        return context.make_tuple(builder, result, spread)

    return result(lanes, like), code


@intrinsic
def total(_context: Any, value: Any) -> Any:
    """The sum of lanes: halves are added to one another until one number is left."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        (value,) = arguments
        size = LANES
        while size > 1:
            size //= 2
            low, high = (
                ir.Constant(ir.VectorType(_INT, size), list(range(start, start + size))) for start in (0, size)
            )
            value = builder.fadd(builder.shuffle_vector(value, value, low), builder.shuffle_vector(value, value, high))
        return builder.extract_element(value, ir.Constant(_INT, 0))

    return types.float32(lanes), code


@intrinsic
def totals(_context: Any, values: Any) -> Any:
    """The sum of each of up to eight lanes, in lanes; where there are fewer, zeros are left.

    Halves are added to one another until one number is left; of all together, in a third of the instructions.
    """

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        given = [builder.extract_value(arguments[0], k) for k in range(len(values))]
        given += [ir.Constant(_VECTOR, None)] * (LANES - len(values))
        sums = [given[k] for k in (0, 4, 1, 5, 2, 6, 3, 7)]
        for apart, low in _HALVES:
            high = [k + apart for k in low]
            sums = [
                builder.fadd(_shuffled(builder, a, b, low), _shuffled(builder, a, b, high))
                for a, b in zip(sums[::2], sums[1::2], strict=True)
            ]
        return sums[0]

    return lanes(values), code


@intrinsic
def add_products(_context: Any, sums: Any, value: Any, rows: Any, q: Any) -> Any:
    """To each sum, the product of a value with the row of the same number, an address, at byte q."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        results, value, places, q = arguments
        for k in range(len(rows)):
            product = builder.fmul(value, _row(builder, places, k, q), flags=_FUSED)
            sum_ = builder.fadd(builder.extract_value(results, k), product, flags=_FUSED)
            results = builder.insert_value(results, sum_, k)
        return results

    return sums(sums, lanes, rows, types.int64), code


@intrinsic
def weighted(_context: Any, weights: Any, rows: Any, q: Any) -> Any:
    """The sum of weight times row at byte q, in two halves."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        numbers, places, q = arguments
        half = (len(rows) + 1) // 2
        products = [
            builder.fmul(builder.extract_value(numbers, k), _row(builder, places, k, q), flags=_FUSED)
            for k in range(len(rows))
        ]
        add = partial(builder.fadd, flags=_FUSED)
        return add(reduce(add, products[:half]), reduce(add, products[half:]))

    return lanes(weights, rows, types.int64), code


def _operation(name: str) -> Any:
    def typed(_context: Any, a: Any, b: Any) -> Any:
        def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            return getattr(builder, name)(*arguments, flags=_FUSED)

        return lanes(lanes, lanes), code

    return intrinsic(typed)


_sum, _product = _operation("fadd"), _operation("fmul")


@overload(operator.add)
def _add(a, b):
    if isinstance(a, Lanes) and isinstance(b, Lanes):
        return lambda a, b: _sum(a, b)
    return None


@overload(operator.mul)
def _multiply(a, b):
    if isinstance(a, Lanes) and isinstance(b, Lanes):
        return lambda a, b: _product(a, b)
    return None
