"""Opens an engine: the local one or another server's, and for the local one the decoder that suits it.

Two stages: `open_engine` does what the settings say, `open_decoder` chooses compiled passes or torch.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from bot.engine import compiled
from bot.engine.config import processor
from bot.engine.config.arrays import StoredTensor
from bot.engine.config.model_config import ModelConfig, read_model_config
from bot.engine.config.precision import QUANTIZED, choose_precision
from bot.engine.interface import Engine
from bot.engine.local import LocalEngine
from bot.engine.model.decoder import Decoder
from bot.engine.remote import RemoteEngine
from bot.engine.text.chat_template import ChatTokenizer
from bot.engine.weights.checkpoint import EMBEDDING, Checkpoint, lm_head_name
from bot.engine.weights.malloc import large_blocks_returned
from bot.engine.weights.prepare import PreparedWeights, open_prepared
from config.settings import Settings

if TYPE_CHECKING:
    import torch

    from bot.engine.weights.quantization import Linear, QuantizationMethod

log = logging.getLogger(__name__)


def open_engine(settings: Settings, directory: Path | None) -> Engine:
    """The engine that the settings ask for. Blocking: it reads the weights.

    directory: the model's; None asks the server at LLM_URL. Raises EngineError with the mend.
    """
    if directory is None:
        return RemoteEngine(
            settings.llm_url,
            model=settings.llm_model,
            api_key=settings.llm_api_key,
            context_tokens=settings.context_tokens,
        )
    return open_local(
        directory,
        precision=settings.precision,
        threads=settings.threads,
        context_tokens=settings.context_tokens,
        cache_mb=settings.cache_mb,
        max_queue=settings.max_queue,
    )


def open_local(
    directory: Path,
    *,
    precision: str = "auto",
    threads: int = 0,
    context_tokens: int = 4096,
    cache_mb: int = 128,
    max_queue: int = 64,
) -> LocalEngine:
    """The engine of this project over a model directory, as `open_engine` with the settings' defaults.

    The decoder is opened in a thread that ends. OpenMP, which torch computes with, keeps workers for each
    thread that used any. Where they are more than the processor's cores they sleep between products, and
    waking them took a third of the engine's time. The tokenizer comes first: one that is damaged is told at
    once, and not after the weights were quantized.
    """
    tokenizer = ChatTokenizer(directory, read_model_config(directory).vocab_size)
    with large_blocks_returned(), ThreadPoolExecutor(1, "opening") as thread:
        decoder = thread.submit(open_decoder, directory, precision, threads).result()
    return LocalEngine(
        directory,
        decoder,
        tokenizer,
        context_tokens=context_tokens,
        cache_mb=cache_mb,
        max_queue=max_queue,
    )


def open_decoder(directory: Path, precision: str, threads: int = 0) -> Decoder:
    """The decoder of a model directory, from prepared weights where they are there and belong to it.

    `threads` 0 takes one a core. Blocking: it reads the weights. Raises EngineError. The compiled decoder
    over prepared weights is opened without torch, which takes 200 MB and longer to start than the bot.
    """
    config = read_model_config(directory)
    precision = choose_precision(precision, config)
    checkpoint, prepared = Checkpoint(directory), open_prepared(directory, precision)
    if prepared is None and precision in QUANTIZED:
        log.info("no prepared weights for %s: run `python -m bot prepare %s`", precision, directory)
    open_it = open_compiled if compiled.suits(config, precision) else open_torch
    return open_it(config, precision, checkpoint, prepared, threads or processor.cores())


def open_compiled(
    config: ModelConfig,
    precision: str,
    checkpoint: Checkpoint,
    prepared: PreparedWeights | None,
    threads: int,
) -> Decoder:
    """The compiled decoder over prepared weights, or over the checkpoint's own, quantized now."""
    from bot.engine.compiled.decoder import CompiledDecoder  # numba is imported where it is used only

    parts: Mapping[str, Mapping[str, StoredTensor]]
    if prepared is not None:
        parts = {name: prepared.part(name, mapped=True) for name in prepared.parts}
    else:
        from bot.engine.weights.quantize import quantization_method, quantized_parts
        from bot.engine.weights.torch_tensors import from_torch

        method = quantization_method(precision, for_compiled=True)
        parts = {
            name: {each: from_torch(tensor) for each, tensor in tensors.items()}
            for name, tensors in quantized_parts(checkpoint, config, method)
        }
    embedding, rows = checkpoint.get(EMBEDDING), checkpoint.get(lm_head_name(checkpoint, config))
    return CompiledDecoder(config, precision, parts, embedding, rows, threads)


def open_torch(
    config: ModelConfig,
    precision: str,
    checkpoint: Checkpoint,
    prepared: PreparedWeights | None,
    threads: int,
) -> Decoder:
    """The decoder on torch's kernels over prepared weights, or over the checkpoint's own, quantized now."""
    import torch  # imported where it is used only

    from bot.engine.model.torch_decoder import Layer, TorchDecoder
    from bot.engine.weights.int4 import RescoredLinear
    from bot.engine.weights.quantize import quantization_method
    from bot.engine.weights.torch_tensors import as_torch

    torch.set_num_threads(threads)
    with torch.inference_mode():
        linears, norms = _build_parts(config, checkpoint, quantization_method(precision), prepared)
        layers = []
        for at in (f"layers.{number}." for number in range(config.num_layers)):
            layer = Layer(
                attention_norm=norms[at + "attention_norm"],
                qkv=linears[at + "qkv"],
                out=linears[at + "out"],
                mlp_norm=norms[at + "mlp_norm"],
                gate_up=linears[at + "gate_up"],
                down=linears[at + "down"],
                query_norm=norms.get(at + "query_norm"),
                key_norm=norms.get(at + "key_norm"),
            )
            layers.append(layer)
        rows, head = checkpoint.get(lm_head_name(checkpoint, config)), linears["head"]
        if precision == "int4":
            head = RescoredLinear(head, as_torch(rows))
        return TorchDecoder(config, precision, layers, norms["norm"], checkpoint.get(EMBEDDING), rows, head)


def _build_parts(
    config: ModelConfig,
    checkpoint: Checkpoint,
    method: QuantizationMethod,
    prepared: PreparedWeights | None,
) -> tuple[dict[str, Linear], dict[str, torch.Tensor]]:
    """Projections and norms by the names of their parts."""
    import torch

    from bot.engine.weights.quantize import quantized_parts
    from bot.engine.weights.torch_tensors import all_as_torch

    linears: dict[str, Linear] = {}
    norms: dict[str, torch.Tensor] = {}

    def build(name: str, tensors: Mapping[str, torch.Tensor]) -> None:
        if "" in tensors:
            norms[name] = tensors[""]
        else:
            linears[name] = method.build(tensors, tensors.get("bias"))

    if prepared is None:
        for name, tensors in quantized_parts(checkpoint, config, method):
            build(name, tensors)
        return linears, norms

    def build_prepared(name: str) -> None:
        build(name, all_as_torch(prepared.part(name, method.mapped)))

    # The LM head first and alone: packing takes three times its size, the most of all parts.
    build_prepared("head")
    with ThreadPoolExecutor(torch.get_num_threads(), "packing") as workers:
        list(workers.map(build_prepared, [name for name in prepared.parts if name != "head"]))
    return linears, norms
