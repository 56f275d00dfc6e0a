"""The few things that a compiled kernel needs and Python cannot say: addresses, vectors and atomics.

Each is an intrinsic of numba, written in LLVM's own instructions. x86-64 with AVX2 only: everything
rests on `pmaddwd`, which multiplies sixteen pairs of 16-bit integers and adds neighbours in 32 bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from bot.engine.compiled.job_layout import BLOCK

I8, I16, I32, I64, F32 = ir.IntType(8), ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.FloatType()
Builder = Any  # llvmlite and numba are not typed
Value = Any
MAX_ACTIVATION_16 = 16383  # of a quantized activation: 14 bits and a sign
MAX_ACTIVATION_8 = 111  # where 8 bits are enough; a finer scale is worth the few sums that saturate
INT4_SHIFT = 4096  # how many times as large a 4-bit weight is multiplied
MAX_WIDENED_WEIGHT = 4095  # of a 4-bit weight widened to 16: 12 bits and a sign


def vector_of(of: Any, size: int) -> Any:
    return ir.VectorType(of, size)


def function(builder: Builder, name: str, answer: Any, *arguments: Any) -> Value:
    return cgutils.get_or_insert_function(builder.module, ir.FunctionType(answer, arguments), name)


def load(builder: Builder, address: Value, of: Any) -> Value:
    return builder.load(builder.inttoptr(address, ir.PointerType(of)), align=1)


def products(builder: Builder, left: Value, right: Value) -> Value:
    kind = vector_of(I16, 16)
    return builder.call(
        function(builder, "llvm.x86.avx2.pmadd.wd", vector_of(I32, 8), kind, kind), (left, right)
    )


def total(builder: Builder, vector: Value) -> Value:
    """The sum of eight floats, in any order."""
    add = function(builder, "llvm.vector.reduce.fadd.v8f32", F32, F32, vector_of(F32, 8))
    return builder.call(add, (ir.Constant(F32, 0.0), vector), fastmath=("reassoc",))


def to_floats(builder: Builder, vector: Value) -> Value:
    return builder.sitofp(vector, vector_of(F32, 8))


def same(builder: Builder, value: Value, size: int) -> Value:
    vector = vector_of(value.type, size)
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(I32, 0))
    zeros = ir.Constant(vector_of(I32, size), [0] * size)
    return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), zeros)


def two_bfloats(builder: Builder, address: Value) -> list[Value]:
    """The float32 of two bfloat16 that stand side by side in memory."""
    both = load(builder, address, I32)
    parts = builder.shl(both, ir.Constant(I32, 16)), builder.and_(both, ir.Constant(I32, -65536))
    return [builder.bitcast(part, F32) for part in parts]


def fetch(builder: Builder, addresses: list[Value]) -> None:
    """Have the processor begin to read memory that is used once and soon. Any address will do."""
    place = ir.PointerType(I8)
    call = function(builder, "llvm.prefetch.p0", ir.VoidType(), place, I32, I32, I32)
    for address in addresses:  # to read, used once, data
        builder.call(call, (builder.inttoptr(address, place), *(ir.Constant(I32, n) for n in (0, 0, 1))))


def count(builder: Builder, start: Value, end: Value, step: int, carried: list[Value]) -> tuple[Any, ...]:
    """Begin a loop of at least one turn: its block, its counter, what is carried, and how to end it."""
    before, body = builder.block, builder.append_basic_block("turn")
    builder.branch(body)
    builder.position_at_end(body)
    counter = builder.phi(I64)
    counter.add_incoming(start, before)
    phis = []
    for value in carried:
        phi = builder.phi(value.type)
        phi.add_incoming(value, before)
        phis.append(phi)

    def end_turn(results: list[Value]) -> None:
        following = builder.add(counter, ir.Constant(I64, step))
        last = builder.block
        after = builder.append_basic_block("after")
        for phi, result in zip(phis, results, strict=True):
            phi.add_incoming(result, last)
        counter.add_incoming(following, last)
        builder.cbranch(builder.icmp_signed("<", following, end), body, after)
        builder.position_at_end(after)

    return counter, phis, end_turn


def offsets_of(builder: Builder, base: Value, stride: Value, count: int) -> list[Value]:
    return [builder.add(base, builder.mul(stride, ir.Constant(I64, at))) for at in range(count)]


@intrinsic
def pointer(context: Any, address: Any) -> Any:
    """An address as what `carray` takes."""

    def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Value:
        return builder.inttoptr(arguments[0], ir.PointerType(I8))

    return types.voidptr(types.int64), generate


@intrinsic
def few_floats(context: Any) -> Any:
    """The address of BLOCK float32 without a meaning yet, until the calling kernel returns."""

    def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Value:
        return builder.ptrtoint(cgutils.alloca_once(builder, ir.ArrayType(F32, int(BLOCK))), I64)

    return types.int64(), generate


@intrinsic
def bits(context: Any, number: Any) -> Any:
    """A float32's bits as int32."""

    def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Value:
        return builder.bitcast(arguments[0], I32)

    return types.int32(types.float32), generate


@intrinsic
def unbits(context: Any, number: Any) -> Any:
    """The float32 that has these bits."""

    def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Value:
        return builder.bitcast(arguments[0], F32)

    return types.float32(types.int32), generate


@intrinsic
def count_up(context: Any, address: Any) -> Any:
    """Add one to the int64 at an address, atomically; what it was before."""

    def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Value:
        place = builder.inttoptr(arguments[0], ir.PointerType(I64))
        return builder.atomic_rmw("add", place, ir.Constant(I64, 1), "seq_cst")

    return types.int64(types.int64), generate


@intrinsic
def peek(context: Any, address: Any) -> Any:
    """The int64 at an address, as another thread may just have written it."""

    def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Value:
        return builder.load_atomic(builder.inttoptr(arguments[0], ir.PointerType(I64)), "seq_cst", 8)

    return types.int64(types.int64), generate


@intrinsic
def poke(context: Any, address: Any, value: Any) -> Any:
    """Write an int64 to an address, so that other threads see all that was written before."""

    def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Value:
        place = builder.inttoptr(arguments[0], ir.PointerType(I64))
        builder.store_atomic(arguments[1], place, "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def pause(context: Any) -> Any:
    """Tell the processor that this is a loop that waits."""

    def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Value:
        builder.call(function(builder, "llvm.x86.sse2.pause", ir.VoidType()), ())
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def step_aside(context: Any) -> Any:
    """sched_yield(2): let another thread have the processor."""

    def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Value:
        builder.call(function(builder, "sched_yield", I32), ())
        return context.get_dummy_value()

    return types.void(), generate


def _byte(name: str) -> Callable[..., Any]:
    @intrinsic
    def transfer(context: Any, descriptor: Any, address: Any) -> Any:
        def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Value:
            call = function(builder, name, I64, I32, ir.PointerType(I8), I64)
            number = builder.trunc(arguments[0], I32)
            place = builder.inttoptr(arguments[1], ir.PointerType(I8))
            return builder.call(call, (number, place, ir.Constant(I64, 1)))

        return types.int64(types.int64, types.int64), generate

    return transfer  # type: ignore[no-any-return]  # numba is untyped


read_byte, write_byte = _byte("read"), _byte("write")  # read(2) and write(2): (descriptor, address) -> count
