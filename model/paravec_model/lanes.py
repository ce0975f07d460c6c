"""Eight floats at a time, for kernels: what a loop does with vector instructions, said instead of hoped for.

A place in memory is an address and how many bytes after it, and nothing is checked. All this is called in compiled code
only. Lanes are added and multiplied with + and *: a product that is added at once may be fused with the sum; otherwise
everything is rounded in the order that is written.
"""

import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.datamodel import models, register_default
from numba.extending import intrinsic, overload

LANES = 8
"""Floats in one. Rows are padded to a multiple of it."""

STEP = 4 * LANES
"""Bytes of one."""

_VECTOR = ir.VectorType(ir.FloatType(), LANES)
_INT = ir.IntType(32)


class Lanes(types.Type):
    """The type of eight floats."""


lanes = Lanes("lanes")


@register_default(Lanes)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)


def _place(builder: Any, at: Any, q: Any) -> Any:
    return builder.bitcast(builder.gep(builder.inttoptr(at, ir.IntType(8).as_pointer()), [q]), _VECTOR.as_pointer())


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
def spread(_context: Any, value: Any) -> Any:
    """Lanes that all hold one number."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        first = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), arguments[0], ir.Constant(_INT, 0))
        return builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(_INT, LANES), [0] * LANES))

    return lanes(types.float32), code


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


def _operation(name: str) -> Any:
    def typed(_context: Any, a: Any, b: Any) -> Any:
        def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            return getattr(builder, name)(*arguments, flags=("contract",))

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
