"""The steps of a pass in their order, as every thread of the pool takes them."""

from __future__ import annotations

import numpy as np
from numba import carray

from bot.engine.compiled import job_layout as c
from bot.engine.compiled import projections as products
from bot.engine.compiled import row_kernels as k
from bot.engine.compiled import vectors
from bot.engine.compiled.compiler import kernel
from bot.engine.compiled.job_layout import Int64s
from bot.engine.compiled.vectors import pointer


@kernel(fastmath=c.FAST)
def norm_and_quantize(
    job: Int64s,
    states: int,
    rows: int,
    weight: int,
    epsilon: float,
    eight_bit: bool,
    thread: int,
    threads: int,
) -> None:
    """RMSNorm of each row, quantized into the job's activations."""
    hidden = job[c.HIDDEN]
    start, end = k.share(rows, thread, threads, 1)
    activation_scales = k.floats(job[c.ACTIVATION_SCALES], rows)
    row_values = k.floats(job[c.WIDE] + thread * job[c.WIDE_ROOM], hidden)
    for row in range(start, end):
        values = k.floats(states + 4 * row * hidden, hidden)
        k.rms_norm(values, k.floats(weight, hidden), epsilon, row_values)
        if eight_bit:
            k.quantize_row_to_8_bits(row_values, job[c.ACTIVATIONS], activation_scales, row)
        else:
            k.quantize_row(row_values, job[c.ACTIVATIONS], activation_scales, row)


@kernel(fastmath=c.FAST)
def quantize_rows(
    job: Int64s, states: int, rows: int, width: int, pitch: int, eight_bit: bool, thread: int, threads: int
) -> None:
    """`width` numbers of each row quantized into the job's activations; `pitch` numbers from row to row."""
    start, end = k.share(rows, thread, threads, 1)
    activation_scales = k.floats(job[c.ACTIVATION_SCALES], rows)
    for row in range(start, end):
        values = k.floats(states + 4 * row * pitch, width)
        if eight_bit:
            k.quantize_row_to_8_bits(values, job[c.ACTIVATIONS], activation_scales, row)
        else:
            k.quantize_row(values, job[c.ACTIVATIONS], activation_scales, row)


@kernel(fastmath=c.FAST)
def project(
    table: Int64s,
    at: int,
    job: Int64s,
    rows: int,
    into: int,
    add: int,
    eight_bit: bool,
    thread: int,
    threads: int,
) -> None:
    """A projection of the quantized rows."""
    if rows == 1:
        products.project_row(
            table,
            at,
            job[c.ACTIVATIONS],
            k.floats(job[c.ACTIVATION_SCALES], 1)[0],
            into,
            add,
            thread,
            threads,
        )
    elif eight_bit:
        products.project_8_bit(
            table, at, job[c.ACTIVATIONS], job[c.ACTIVATION_SCALES], rows, into, add, thread, threads
        )
    else:
        wide = job[c.WIDE] + thread * job[c.WIDE_ROOM]
        products.project(
            table, at, job[c.ACTIVATIONS], job[c.ACTIVATION_SCALES], rows, into, add, wide, thread, threads
        )


@kernel(fastmath=c.FAST)
def store_keys_and_values(
    job: Int64s, layers: Int64s, layer: int, rows: int, epsilon: float, thread: int, threads: int
) -> None:
    """Queries and keys turned by their positions; keys and values into each sequence's cache."""
    heads, kv_heads, width = job[c.HEADS], job[c.KV_HEADS], job[c.HEAD_DIM]
    table = carray(pointer(job[c.ROW_TABLE]), (rows, c.ROW), np.int64)
    all_heads = heads + 2 * kv_heads
    start, end = k.share(rows * all_heads, thread, threads, 1)
    for unit in range(start, end):
        row, head = unit // all_heads, unit % all_heads
        states = k.floats(job[c.QKV_STATES] + 4 * unit * width, width)
        if head < heads + kv_heads:
            norm = layers[layer, c.QUERY_NORM] if head < heads else layers[layer, c.KEY_NORM]
            k.rotate(states, k.floats(table[row, c.ROTATION], width), norm, epsilon, width)
        if head >= heads:
            slot = (layer * 2 * kv_heads + head - heads) * table[row, c.CAPACITY]
            slot += table[row, c.BEFORE] + table[row, c.OWN]
            target = k.floats(table[row, c.CACHE] + 4 * slot * width, width)
            for i in range(width):
                target[i] = states[i]


@kernel(fastmath=c.FAST)
def attend(job: Int64s, layer: int, rows: int, thread: int, threads: int) -> None:
    """Attention of this thread's rows and heads."""
    heads, kv_heads, width = job[c.HEADS], job[c.KV_HEADS], job[c.HEAD_DIM]
    table = carray(pointer(job[c.ROW_TABLE]), (rows, c.ROW), np.int64)
    scores = job[c.SCORES] + 4 * thread * job[c.SCORE_ROOM]
    start, end = k.share(rows * heads, thread, threads, 1)
    for unit in range(start, end):
        row, head = unit // heads, unit % heads
        query = job[c.QKV_STATES] + 4 * (row * (heads + 2 * kv_heads) + head) * width
        before, own, chunk = table[row, c.BEFORE], table[row, c.OWN], table[row, c.CHUNK]
        mask = table[row, c.MASK]
        count = chunk if mask else own + 1
        mask_row = carray(pointer(mask + own * chunk), (chunk if mask else 0,), np.bool_)
        capacity, kv_head = table[row, c.CAPACITY], head // (heads // kv_heads)
        first = table[row, c.CACHE] + 4 * (layer * 2 * kv_heads + kv_head) * capacity * width
        values, attn_out = first + 4 * kv_heads * capacity * width, job[c.ATTN_OUT] + 4 * unit * width
        k.attend_head(query, first, values, mask_row, before, count, scores, attn_out, width)


@kernel(fastmath=c.FAST)
def keep_output_rows(job: Int64s, rows: int) -> None:
    """Move the rows that the last layer goes on with to the front; they are in ascending order."""
    hidden, mixed_width = job[c.HIDDEN], job[c.HEADS] * job[c.HEAD_DIM]
    output_rows = carray(pointer(job[c.OUTPUT_ROW_TABLE]), (job[c.OUTPUT_ROWS],), np.int64)
    states = k.floats(job[c.STATES], rows * hidden)
    attn_out = k.floats(job[c.ATTN_OUT], rows * mixed_width)
    for to in range(len(output_rows)):
        row = output_rows[to]
        for i in range(hidden):
            states[to * hidden + i] = states[row * hidden + i]
        for i in range(mixed_width):
            attn_out[to * mixed_width + i] = attn_out[row * mixed_width + i]


@kernel(fastmath=c.FAST)
def gate(job: Int64s, rows: int, thread: int, threads: int) -> None:
    """silu(gate) * up, in the place of gate."""
    mlp = job[c.MLP]
    start, end = k.share(mlp, thread, threads, c.BLOCK)
    for row in range(rows):
        gates = k.floats(job[c.MLP_STATES] + 4 * 2 * row * mlp, mlp)
        ups = k.floats(job[c.MLP_STATES] + 4 * (2 * row + 1) * mlp, mlp)
        for i in range(start, end):
            gates[i] = gates[i] / (np.float32(1.0) + k.exponential(-gates[i])) * ups[i]


@kernel(nogil=True, fastmath=c.FAST)
def run_pass(thread: int, threads: int, thread_pool: int, job: Int64s, epsilon: float) -> None:
    """All layers over the job's rows; `RESULT` gets the final norm of the wanted ones, [wanted, hidden]."""
    rows, hidden, mlp = job[c.ROWS], job[c.HIDDEN], job[c.MLP]
    mixed_width = job[c.HEADS] * job[c.HEAD_DIM]
    layers = carray(pointer(job[c.LAYER_TABLE]), (job[c.LAYERS], c.LAYER), np.int64)
    states = job[c.STATES]
    for layer in range(job[c.LAYERS]):
        table = layers[layer]
        eight_bit = rows > 1 and table[c.QKV + c.BITS] == 8 and job[c.EXACT] == 0
        norm_and_quantize(job, states, rows, table[c.ATTENTION_NORM], epsilon, eight_bit, thread, threads)
        k.wait(thread_pool, threads)
        project(table, c.QKV, job, rows, job[c.QKV_STATES], c.WRITE, eight_bit, thread, threads)
        k.wait(thread_pool, threads)
        store_keys_and_values(job, layers, layer, rows, epsilon, thread, threads)
        k.wait(thread_pool, threads)
        attend(job, layer, rows, thread, threads)
        k.wait(thread_pool, threads)
        if layer == job[c.LAYERS] - 1 and job[c.OUTPUT_ROWS] < rows:
            if thread == 0:
                keep_output_rows(job, rows)
            rows = job[c.OUTPUT_ROWS]
            eight_bit = eight_bit and rows > 1
            k.wait(thread_pool, threads)
        quantize_rows(job, job[c.ATTN_OUT], rows, mixed_width, mixed_width, eight_bit, thread, threads)
        k.wait(thread_pool, threads)
        project(table, c.OUT, job, rows, states, c.ADD, eight_bit, thread, threads)
        k.wait(thread_pool, threads)
        norm_and_quantize(job, states, rows, table[c.MLP_NORM], epsilon, eight_bit, thread, threads)
        k.wait(thread_pool, threads)
        project(table, c.GATE_UP, job, rows, job[c.MLP_STATES], c.WRITE, eight_bit, thread, threads)
        k.wait(thread_pool, threads)
        gate(job, rows, thread, threads)
        k.wait(thread_pool, threads)
        quantize_rows(job, job[c.MLP_STATES], rows, mlp, 2 * mlp, eight_bit, thread, threads)
        k.wait(thread_pool, threads)
        project(table, c.DOWN, job, rows, states, c.ADD, eight_bit, thread, threads)
        k.wait(thread_pool, threads)
    start, end = k.share(rows, thread, threads, 1)
    for row in range(start, end):
        values, into = (
            k.floats(states + 4 * row * hidden, hidden),
            k.floats(job[c.RESULT] + 4 * row * hidden, hidden),
        )
        k.rms_norm(values, k.floats(job[c.FINAL_NORM], hidden), epsilon, into)
    k.wait(thread_pool, threads)


@kernel(nogil=True, fastmath=c.FAST)
def run_projection(thread: int, threads: int, thread_pool: int, job: Int64s) -> None:
    """One projection of `STATES` [rows, inputs] into `RESULT` [rows, outputs]."""
    rows = job[c.ROWS]
    table = carray(pointer(job[c.PROJECTION_TABLE]), (c.PROJECTION,), np.int64)
    quantize_rows(job, job[c.STATES], rows, table[c.INPUTS], table[c.INPUTS], False, thread, threads)
    k.wait(thread_pool, threads)
    project(table, np.int64(0), job, rows, job[c.RESULT], c.WRITE, False, thread, threads)
    k.wait(thread_pool, threads)


@kernel(nogil=True)
def run(thread: int, threads: int, thread_pool: int, job: Int64s, epsilon: float) -> None:
    """What the job says."""
    if job[c.KIND] == c.PASS:
        run_pass(thread, threads, thread_pool, job, epsilon)
    elif job[c.KIND] == c.PROJECT:
        run_projection(thread, threads, thread_pool, job)


@kernel(nogil=True)
def work(
    thread: int, threads: int, thread_pool: int, at: int, listening: int, signalling: int, epsilon: float
) -> None:
    """Thread 0 wakes the others and does one job with them; they do job after job, until one says stop.

    thread_pool, at: addresses of the pool's own array and of the job.
    """
    job = carray(pointer(at), (c.JOB,), np.int64)
    if thread == 0:
        for _ in range(threads - 1):
            vectors.write_byte(signalling, thread_pool + 8 * c.SIGNAL)
        run(thread, threads, thread_pool, job, epsilon)
        return
    while vectors.read_byte(listening, thread_pool + 8 * c.SIGNAL) == 1 and job[c.KIND] != c.STOP:
        run(thread, threads, thread_pool, job, epsilon)
