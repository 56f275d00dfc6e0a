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

from bot.engine.compiled import GROUP

I8, I16, I32, I64, F32 = ir.IntType(8), ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.FloatType()
Builder = Any  # llvmlite and numba are not typed
Value = Any
ACTIVATION = 16383  # the largest activation in steps: 14 bits and a sign
COARSE = 111  # the same where 8 bits are enough; a few sums that saturate cost less than a step more
WEIGHT = 4095  # the largest widened 4-bit weight in steps: 12 bits and a sign
_FLUSH = 256  # inputs whose products of an activation and a widened weight fit a lane's 32 bits


def _vector(of: Any, size: int) -> Any:
    return ir.VectorType(of, size)


def _function(builder: Builder, name: str, answer: Any, *arguments: Any) -> Value:
    return cgutils.get_or_insert_function(builder.module, ir.FunctionType(answer, arguments), name)


def _load(builder: Builder, address: Value, of: Any) -> Value:
    return builder.load(builder.inttoptr(address, ir.PointerType(of)), align=1)


def _products(builder: Builder, left: Value, right: Value) -> Value:
    kind = _vector(I16, 16)
    return builder.call(
        _function(builder, "llvm.x86.avx2.pmadd.wd", _vector(I32, 8), kind, kind), (left, right)
    )


def _total(builder: Builder, vector: Value) -> Value:
    """The sum of eight floats, in any order."""
    add = _function(builder, "llvm.vector.reduce.fadd.v8f32", F32, F32, _vector(F32, 8))
    return builder.call(add, (ir.Constant(F32, 0.0), vector), fastmath=("reassoc",))


def _floats(builder: Builder, vector: Value) -> Value:
    return builder.sitofp(vector, _vector(F32, 8))


def _same(builder: Builder, value: Value, size: int) -> Value:
    vector = _vector(value.type, size)
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(I32, 0))
    zeros = ir.Constant(_vector(I32, size), [0] * size)
    return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), zeros)


def _bfloat(builder: Builder, address: Value) -> Value:
    """The float32 of a bfloat16 in memory."""
    bits = builder.shl(builder.zext(_load(builder, address, I16), I32), ir.Constant(I32, 16))
    return builder.bitcast(bits, F32)


def _count(builder: Builder, start: Value, end: Value, step: int, carried: list[Value]) -> tuple[Any, ...]:
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


def _offsets(builder: Builder, base: Value, stride: Value, count: int) -> list[Value]:
    return [builder.add(base, builder.mul(stride, ir.Constant(I64, at))) for at in range(count)]


def int_row(rows: int) -> Callable[..., Any]:
    """(weights, their stride in bytes, activations, inputs) -> sums, a tuple of `rows`.

    Rows of 8-bit weights by one of 16-bit activations. Inputs: a multiple of 16, up to 16,384.
    """

    @intrinsic
    def multiply(context: Any, weight: Any, pitch: Any, x: Any, inputs: Any) -> Any:
        signature = types.UniTuple(types.float32, rows)(weight, pitch, x, inputs)

        def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Value:
            weight, pitch, x, inputs = arguments
            lines = _offsets(builder, weight, pitch, rows)
            sums = _int_sums(builder, lines, [x], ir.Constant(I64, 0), inputs, 8)
            return context.make_tuple(
                builder, signature.return_type, [_total(builder, _floats(builder, s)) for s in sums]
            )

        return signature, generate

    return multiply  # type: ignore[no-any-return]


def _int_sums(
    builder: Builder, lines: list[Value], others: list[Value], start: Value, end: Value, size: int
) -> list[Value]:
    """Eight partial sums in 32 bits for each of the rows of `others` with each of `lines`."""
    zeros = [ir.Constant(_vector(I32, 8), [0] * 8)] * (len(lines) * len(others))
    at, sums, end_turn = _count(builder, start, end, 16, zeros)
    twice = builder.shl(at, ir.Constant(I64, 1))
    place, kind = (at, I8) if size == 8 else (twice, I16)
    read = [_load(builder, builder.add(line, place), _vector(kind, 16)) for line in lines]
    wide = [builder.sext(each, _vector(I16, 16)) if size == 8 else each for each in read]
    results: list[Value] = []
    for other in others:
        given = _load(builder, builder.add(other, twice), _vector(I16, 16))
        results += [
            builder.add(sums[len(results) + at], _products(builder, each, given))
            for at, each in enumerate(wide)
        ]
    end_turn(results)
    return results


def _write_tile(
    builder: Builder,
    sums: list[Value],
    factors: Value,
    sizes: Value,
    into: Value,
    step: Value,
    add: Value,
    less: Value | None = None,
) -> None:
    """Write eight sums, two outputs of four rows, times the outputs' factors and the rows' sizes."""
    kind = _vector(F32, 8)
    pairwise = _function(builder, "llvm.x86.avx.hadd.ps.256", kind, kind, kind)
    while len(sums) > 2:
        sums = [builder.call(pairwise, sums[at : at + 2]) for at in range(0, len(sums), 2)]
    order = [ir.Constant(_vector(I32, 8), [*range(at, at + 4), *range(at + 8, at + 12)]) for at in (0, 4)]
    low, high = (builder.shuffle_vector(*sums, each) for each in order)
    total = builder.fadd(low, high)
    two, four = _load(builder, factors, _vector(F32, 2)), _load(builder, sizes, _vector(F32, 4))
    twos = builder.shuffle_vector(two, two, ir.Constant(_vector(I32, 8), [0, 1] * 4))
    fours = builder.shuffle_vector(four, four, ir.Constant(_vector(I32, 8), [0, 0, 1, 1, 2, 2, 3, 3]))
    if less is not None:
        two = _load(builder, less, _vector(F32, 2))
        total = builder.fsub(
            total, builder.shuffle_vector(two, two, ir.Constant(_vector(I32, 8), [0, 1] * 4))
        )
    total = builder.fmul(builder.fmul(total, twos), fours)
    for row in range(4):
        value = builder.shuffle_vector(total, total, ir.Constant(_vector(I32, 2), [2 * row, 2 * row + 1]))
        address = builder.inttoptr(
            builder.add(into, builder.mul(step, ir.Constant(I64, row))), ir.PointerType(_vector(F32, 2))
        )
        before = builder.load(address, align=1)
        value = builder.select(add, builder.fadd(value, before), value)
        builder.store(value, address, align=1)


def _coarse_sums(builder: Builder, lines: list[Value], others: list[Value], end: Value) -> list[Value]:
    """As `_int_sums` for 8-bit activations without sign. Neighbours are added in 16 bits and may saturate."""
    zeros = [ir.Constant(_vector(I32, 8), [0] * 8)] * (len(lines) * len(others))
    at, sums, end_turn = _count(builder, ir.Constant(I64, 0), end, 32, zeros)
    bytes_, words = _vector(I8, 32), _vector(I16, 16)
    neighbours = _function(builder, "llvm.x86.avx2.pmadd.ub.sw", words, bytes_, bytes_)
    ones = ir.Constant(words, [1] * 16)
    read = [_load(builder, builder.add(line, at), bytes_) for line in lines]
    results: list[Value] = []
    for other in others:
        given = _load(builder, builder.add(other, at), bytes_)
        for each in read:
            added = _products(builder, builder.call(neighbours, (given, each)), ones)
            results.append(builder.add(sums[len(results)], added))
    end_turn(results)
    return results


@intrinsic
def coarse_tile(
    context: Any,
    weight: Any,
    pitch: Any,
    x: Any,
    step: Any,
    inputs: Any,
    less: Any,
    factors: Any,
    sizes: Any,
    into: Any,
    to: Any,
    add: Any,
) -> Any:
    """As `int_tile`, for 8-bit weights and activations without sign; `less` is subtracted from each sum.

    less: address of two float32. Inputs: a multiple of 32.
    """
    signature = types.void(weight, pitch, x, step, inputs, less, factors, sizes, into, to, add)

    def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Value:
        weight, pitch, x, step, inputs, less, factors, sizes, into, to, add = arguments
        lines, others = _offsets(builder, weight, pitch, 2), _offsets(builder, x, step, 4)
        sums = [_floats(builder, each) for each in _coarse_sums(builder, lines, others, inputs)]
        adds = builder.icmp_signed("!=", add, ir.Constant(I64, 0))
        _write_tile(builder, sums, factors, sizes, into, to, adds, less)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def weight_sum(context: Any, weight: Any, inputs: Any) -> Any:
    """The sum of a row of 8-bit weights, a multiple of 32 of them."""
    signature = types.float32(weight, inputs)

    def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Value:
        weight, inputs = arguments
        zeros = [ir.Constant(_vector(I32, 8), [0] * 8)]
        at, sums, end_turn = _count(builder, ir.Constant(I64, 0), inputs, 16, zeros)
        wide = builder.sext(_load(builder, builder.add(weight, at), _vector(I8, 16)), _vector(I16, 16))
        results = [builder.add(sums[0], _products(builder, wide, ir.Constant(_vector(I16, 16), [1] * 16)))]
        end_turn(results)
        return _total(builder, _floats(builder, results[0]))

    return signature, generate


def int_tile(size: int) -> Callable[..., Any]:
    """(weights, their stride, activations, their stride, inputs, factors, sizes, into, its stride, add)

    Two rows of 8- or 16-bit weights by four of 16-bit activations, a multiple of 16 and for 16 bits
    at most 1,280. `into` is four rows of float32; where `add` is not 0, they are added to. Strides in bytes.
    """

    @intrinsic
    def tile(
        context: Any,
        weight: Any,
        pitch: Any,
        x: Any,
        step: Any,
        inputs: Any,
        factors: Any,
        sizes: Any,
        into: Any,
        to: Any,
        add: Any,
    ) -> Any:
        signature = types.void(weight, pitch, x, step, inputs, factors, sizes, into, to, add)

        def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Value:
            weight, pitch, x, step, inputs, factors, sizes, into, to, add = arguments
            lines, others = _offsets(builder, weight, pitch, 2), _offsets(builder, x, step, 4)
            if size == 8:
                sums = [
                    _floats(builder, s)
                    for s in _int_sums(builder, lines, others, ir.Constant(I64, 0), inputs, size)
                ]
            else:
                nothing = [ir.Constant(_vector(F32, 8), [0.0] * 8)] * 8
                start, totals, end_part = _count(builder, ir.Constant(I64, 0), inputs, _FLUSH, nothing)
                until = builder.add(start, ir.Constant(I64, _FLUSH))
                until = builder.select(builder.icmp_signed("<", until, inputs), until, inputs)
                parts = _int_sums(builder, lines, others, start, until, size)
                sums = [
                    builder.fadd(t, _floats(builder, part)) for t, part in zip(totals, parts, strict=True)
                ]
                end_part(sums)
            adds = builder.icmp_signed("!=", add, ir.Constant(I64, 0))
            _write_tile(builder, sums, factors, sizes, into, to, adds)
            return context.get_dummy_value()

        return signature, generate

    return tile  # type: ignore[no-any-return]


def _nibble_sums(
    builder: Builder, codes: list[Value], scales: list[Value], others: list[Value], inputs: Value
) -> list[Value]:
    """Eight partial sums of (code - 8) * scale * x for each of `others` with each row of codes."""
    rows = len(codes)
    nothing = [ir.Constant(_vector(F32, 8), [0.0] * 8)] * (rows * len(others))
    at, totals, end_turn = _count(builder, ir.Constant(I64, 0), inputs, GROUP, nothing)
    half, sixteenth, twice = (
        builder.lshr(at, ir.Constant(I64, 1)),
        builder.lshr(at, ir.Constant(I64, 4)),
        builder.shl(at, ir.Constant(I64, 1)),
    )
    given = []
    for other in others:
        first = builder.add(other, twice)
        given.append(
            [_load(builder, builder.add(first, ir.Constant(I64, more)), _vector(I16, 16)) for more in (0, 32)]
        )
    results: list[Value] = [None] * (rows * len(others))
    for row in range(rows):
        read = _load(builder, builder.add(codes[row], half), _vector(I8, 16))
        low = builder.and_(read, ir.Constant(_vector(I8, 16), [15] * 16))
        high = builder.lshr(read, ir.Constant(_vector(I8, 16), [4] * 16))
        eight = ir.Constant(_vector(I16, 16), [8] * 16)
        halves = [builder.sub(builder.zext(each, _vector(I16, 16)), eight) for each in (low, high)]
        scale = _same(builder, _bfloat(builder, builder.add(scales[row], sixteenth)), 8)
        for column, (first, second) in enumerate(given):
            sums = builder.add(_products(builder, halves[0], first), _products(builder, halves[1], second))
            place = column * rows + row
            scaled = builder.fmul(_floats(builder, sums), scale, flags=("contract",))
            results[place] = builder.fadd(totals[place], scaled, flags=("contract",))
    end_turn(results)
    return results


def nibble_row(rows: int) -> Callable[..., Any]:
    """(codes, their stride, scales, their stride, activations, inputs) -> sums, a tuple of `rows`.

    As `int_row`, for 4-bit codes in groups with a bfloat16 scale each. A group's 16 bytes hold its first
    half in the low nibbles. Strides in bytes.
    """

    @intrinsic
    def multiply(context: Any, codes: Any, pitch: Any, scales: Any, step: Any, x: Any, inputs: Any) -> Any:
        signature = types.UniTuple(types.float32, rows)(codes, pitch, scales, step, x, inputs)

        def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Value:
            codes, pitch, scales, step, x, inputs = arguments
            lines, factors = _offsets(builder, codes, pitch, rows), _offsets(builder, scales, step, rows)
            sums = _nibble_sums(builder, lines, factors, [x], inputs)
            return context.make_tuple(
                builder, signature.return_type, [_total(builder, each) for each in sums]
            )

        return signature, generate

    return multiply  # type: ignore[no-any-return]


@intrinsic
def nibble_tile(
    context: Any,
    codes: Any,
    pitch: Any,
    scales: Any,
    scale_pitch: Any,
    x: Any,
    step: Any,
    inputs: Any,
    factors: Any,
    sizes: Any,
    into: Any,
    to: Any,
    add: Any,
) -> Any:
    """As `int_tile`, for 4-bit codes."""
    signature = types.void(codes, pitch, scales, scale_pitch, x, step, inputs, factors, sizes, into, to, add)

    def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Value:
        codes, pitch, scales, scale_pitch, x, step, inputs, factors, sizes, into, to, add = arguments
        lines, scale_lines = _offsets(builder, codes, pitch, 2), _offsets(builder, scales, scale_pitch, 2)
        sums = _nibble_sums(builder, lines, scale_lines, _offsets(builder, x, step, 4), inputs)
        adds = builder.icmp_signed("!=", add, ir.Constant(I64, 0))
        _write_tile(builder, sums, factors, sizes, into, to, adds)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def pointer(context: Any, address: Any) -> Any:
    """An address as what `carray` takes."""

    def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Value:
        return builder.inttoptr(arguments[0], ir.PointerType(I8))

    return types.voidptr(types.int64), generate


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
        builder.call(_function(builder, "llvm.x86.sse2.pause", ir.VoidType()), ())
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def step_aside(context: Any) -> Any:
    """sched_yield(2): let another thread have the processor."""

    def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Value:
        builder.call(_function(builder, "sched_yield", I32), ())
        return context.get_dummy_value()

    return types.void(), generate


def _byte(name: str) -> Callable[..., Any]:
    @intrinsic
    def transfer(context: Any, descriptor: Any, address: Any) -> Any:
        def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Value:
            call = _function(builder, name, I64, I32, ir.PointerType(I8), I64)
            number = builder.trunc(arguments[0], I32)
            place = builder.inttoptr(arguments[1], ir.PointerType(I8))
            return builder.call(call, (number, place, ir.Constant(I64, 1)))

        return types.int64(types.int64, types.int64), generate

    return transfer  # type: ignore[no-any-return]


read_byte, write_byte = _byte("read"), _byte("write")  # read(2) and write(2): (descriptor, address) -> count
