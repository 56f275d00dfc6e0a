"""The steps of a pass in their order, as every thread of a team takes them."""

from __future__ import annotations

import numpy as np
from numba import carray

from bot.engine.compiled import columns as c
from bot.engine.compiled import kernels as k
from bot.engine.compiled import products, vectors
from bot.engine.compiled.columns import Numbers
from bot.engine.compiled.compiling import kernel
from bot.engine.compiled.vectors import pointer


@kernel(fastmath=c.FAST)
def normalise_and_round(
    job: Numbers, states: int, rows: int, weight: int, epsilon: float, coarse: bool, thread: int, threads: int
) -> None:
    """Each row normalised, then rounded into the job's room for that."""
    hidden = job[c.HIDDEN]
    start, end = k.share(rows, thread, threads, 1)
    sizes = k.floats(job[c.SIZES], rows)
    row_values = k.floats(job[c.WIDE] + thread * job[c.WIDE_ROOM], hidden)
    for row in range(start, end):
        values = k.floats(states + 4 * row * hidden, hidden)
        k.normalised(values, k.floats(weight, hidden), epsilon, row_values)
        if coarse:
            k.coarsely_rounded(row_values, job[c.ROUNDED], sizes, row)
        else:
            k.rounded(row_values, job[c.ROUNDED], sizes, row)


@kernel(fastmath=c.FAST)
def round_rows(
    job: Numbers, states: int, rows: int, width: int, pitch: int, coarse: bool, thread: int, threads: int
) -> None:
    """`width` numbers of each row rounded into the job's room for that; `pitch` numbers from row to row."""
    start, end = k.share(rows, thread, threads, 1)
    sizes = k.floats(job[c.SIZES], rows)
    for row in range(start, end):
        values = k.floats(states + 4 * row * pitch, width)
        if coarse:
            k.coarsely_rounded(values, job[c.ROUNDED], sizes, row)
        else:
            k.rounded(values, job[c.ROUNDED], sizes, row)


@kernel(fastmath=c.FAST)
def project(
    table: Numbers,
    at: int,
    job: Numbers,
    rows: int,
    into: int,
    add: int,
    coarse: bool,
    thread: int,
    threads: int,
) -> None:
    """A projection of the rounded rows."""
    if rows == 1:
        products.project_row(
            table, at, job[c.ROUNDED], k.floats(job[c.SIZES], 1)[0], into, add, thread, threads
        )
    elif coarse:
        products.project_coarsely(table, at, job[c.ROUNDED], job[c.SIZES], rows, into, add, thread, threads)
    else:
        wide = job[c.WIDE] + thread * job[c.WIDE_ROOM]
        products.project(table, at, job[c.ROUNDED], job[c.SIZES], rows, into, add, wide, thread, threads)


@kernel(fastmath=c.FAST)
def store_keys_and_values(
    job: Numbers, layers: Numbers, layer: int, rows: int, epsilon: float, thread: int, threads: int
) -> None:
    """Queries and keys turned by their positions; keys and values into each sequence's cache."""
    heads, kv_heads, width = job[c.HEADS], job[c.KV_HEADS], job[c.WIDTH]
    table = carray(pointer(job[c.ROW_TABLE]), (rows, c.ROW), np.int64)
    all_heads = heads + 2 * kv_heads
    start, end = k.share(rows * all_heads, thread, threads, 1)
    for unit in range(start, end):
        row, head = unit // all_heads, unit % all_heads
        states = k.floats(job[c.MIXED_QKV] + 4 * unit * width, width)
        if head < heads + kv_heads:
            norm = layers[layer, c.QUERY_NORM] if head < heads else layers[layer, c.KEY_NORM]
            k.rotated(states, k.floats(table[row, c.ROTATION], width), norm, epsilon, width)
        if head >= heads:
            slot = (layer * 2 * kv_heads + head - heads) * table[row, c.CAPACITY]
            slot += table[row, c.BEFORE] + table[row, c.OWN]
            target = k.floats(table[row, c.CACHE] + 4 * slot * width, width)
            for i in range(width):
                target[i] = states[i]


@kernel(fastmath=c.FAST)
def attend(job: Numbers, layer: int, rows: int, thread: int, threads: int) -> None:
    """Attention of this thread's rows and heads."""
    heads, kv_heads, width = job[c.HEADS], job[c.KV_HEADS], job[c.WIDTH]
    table = carray(pointer(job[c.ROW_TABLE]), (rows, c.ROW), np.int64)
    scores = job[c.SCORES] + 4 * thread * job[c.SCORE_ROOM]
    start, end = k.share(rows * heads, thread, threads, 1)
    for unit in range(start, end):
        row, head = unit // heads, unit % heads
        query = job[c.MIXED_QKV] + 4 * (row * (heads + 2 * kv_heads) + head) * width
        before, own, chunk = table[row, c.BEFORE], table[row, c.OWN], table[row, c.CHUNK]
        mask = table[row, c.SEEN]
        count = chunk if mask else own + 1
        seen = carray(pointer(mask + own * chunk), (chunk if mask else 0,), np.bool_)
        capacity, kv_head = table[row, c.CAPACITY], head // (heads // kv_heads)
        first = table[row, c.CACHE] + 4 * (layer * 2 * kv_heads + kv_head) * capacity * width
        values, mixed = first + 4 * kv_heads * capacity * width, job[c.MIXED] + 4 * unit * width
        k.attended(query, first, values, seen, before, count, scores, mixed, width)


@kernel(fastmath=c.FAST)
def keep_wanted(job: Numbers, rows: int) -> None:
    """Move the rows that the last layer goes on with to the front; they are in ascending order."""
    hidden, mixed_width = job[c.HIDDEN], job[c.HEADS] * job[c.WIDTH]
    wanted = carray(pointer(job[c.WANTED_ROWS]), (job[c.WANTED],), np.int64)
    states = k.floats(job[c.STATES], rows * hidden)
    mixed = k.floats(job[c.MIXED], rows * mixed_width)
    for to in range(len(wanted)):
        row = wanted[to]
        for i in range(hidden):
            states[to * hidden + i] = states[row * hidden + i]
        for i in range(mixed_width):
            mixed[to * mixed_width + i] = mixed[row * mixed_width + i]


@kernel(fastmath=c.FAST)
def gate(job: Numbers, rows: int, thread: int, threads: int) -> None:
    """silu(gate) * up, in the place of gate."""
    mlp = job[c.MLP]
    start, end = k.share(mlp, thread, threads, c.BLOCK)
    for row in range(rows):
        gates = k.floats(job[c.INNER] + 4 * 2 * row * mlp, mlp)
        ups = k.floats(job[c.INNER] + 4 * (2 * row + 1) * mlp, mlp)
        for i in range(start, end):
            gates[i] = gates[i] / (np.float32(1.0) + k.exponential(-gates[i])) * ups[i]


@kernel(nogil=True, fastmath=c.FAST)
def run_pass(thread: int, threads: int, team: int, job: Numbers, epsilon: float) -> None:
    """All layers over the job's rows; `RESULT` gets the final norm of the wanted ones, [wanted, hidden]."""
    rows, hidden, mlp = job[c.ROWS], job[c.HIDDEN], job[c.MLP]
    mixed_width = job[c.HEADS] * job[c.WIDTH]
    layers = carray(pointer(job[c.LAYER_TABLE]), (job[c.LAYERS], c.LAYER), np.int64)
    states = job[c.STATES]
    for layer in range(job[c.LAYERS]):
        table = layers[layer]
        coarse = rows > 1 and table[c.QKV + c.BITS] == 8 and job[c.EXACT] == 0
        normalise_and_round(job, states, rows, table[c.ATTENTION_NORM], epsilon, coarse, thread, threads)
        k.wait(team, threads)
        project(table, c.QKV, job, rows, job[c.MIXED_QKV], c.WRITE, coarse, thread, threads)
        k.wait(team, threads)
        store_keys_and_values(job, layers, layer, rows, epsilon, thread, threads)
        k.wait(team, threads)
        attend(job, layer, rows, thread, threads)
        k.wait(team, threads)
        if layer == job[c.LAYERS] - 1 and job[c.WANTED] < rows:
            if thread == 0:
                keep_wanted(job, rows)
            rows = job[c.WANTED]
            coarse = coarse and rows > 1
            k.wait(team, threads)
        round_rows(job, job[c.MIXED], rows, mixed_width, mixed_width, coarse, thread, threads)
        k.wait(team, threads)
        project(table, c.OUT, job, rows, states, c.ADD, coarse, thread, threads)
        k.wait(team, threads)
        normalise_and_round(job, states, rows, table[c.MLP_NORM], epsilon, coarse, thread, threads)
        k.wait(team, threads)
        project(table, c.GATE_UP, job, rows, job[c.INNER], c.WRITE, coarse, thread, threads)
        k.wait(team, threads)
        gate(job, rows, thread, threads)
        k.wait(team, threads)
        round_rows(job, job[c.INNER], rows, mlp, 2 * mlp, coarse, thread, threads)
        k.wait(team, threads)
        project(table, c.DOWN, job, rows, states, c.ADD, coarse, thread, threads)
        k.wait(team, threads)
    start, end = k.share(rows, thread, threads, 1)
    for row in range(start, end):
        values, into = (
            k.floats(states + 4 * row * hidden, hidden),
            k.floats(job[c.RESULT] + 4 * row * hidden, hidden),
        )
        k.normalised(values, k.floats(job[c.FINAL_NORM], hidden), epsilon, into)
    k.wait(team, threads)


@kernel(nogil=True, fastmath=c.FAST)
def run_projection(thread: int, threads: int, team: int, job: Numbers) -> None:
    """One projection of `STATES` [rows, inputs] into `RESULT` [rows, outputs]."""
    rows = job[c.ROWS]
    table = carray(pointer(job[c.PROJECTION_TABLE]), (c.PROJECTION,), np.int64)
    round_rows(job, job[c.STATES], rows, table[c.INPUTS], table[c.INPUTS], False, thread, threads)
    k.wait(team, threads)
    project(table, np.int64(0), job, rows, job[c.RESULT], c.WRITE, False, thread, threads)
    k.wait(team, threads)


@kernel(nogil=True)
def run(thread: int, threads: int, team: int, job: Numbers, epsilon: float) -> None:
    """What the job says."""
    if job[c.KIND] == c.PASS:
        run_pass(thread, threads, team, job, epsilon)
    elif job[c.KIND] == c.PROJECT:
        run_projection(thread, threads, team, job)


@kernel(nogil=True)
def work(
    thread: int, threads: int, team: int, at: int, listening: int, signalling: int, epsilon: float
) -> None:
    """Thread 0 wakes the others and does one job with them; they do job after job, until one says stop.

    team, at: addresses of the team's own array and of the job.
    """
    job = carray(pointer(at), (c.JOB,), np.int64)
    if thread == 0:
        for _ in range(threads - 1):
            vectors.write_byte(signalling, team + 8 * c.SIGNAL)
        run(thread, threads, team, job, epsilon)
        return
    while vectors.read_byte(listening, team + 8 * c.SIGNAL) == 1 and job[c.KIND] != c.STOP:
        run(thread, threads, team, job, epsilon)
