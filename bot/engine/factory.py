"""Opens an engine: the local one or another server's, and for the local one the decoder that suits it.

Two stages: `open_engine` does what the settings say, `open_decoder` chooses the compiled kernels or torch.
"""

from __future__ import annotations

import ctypes
import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from bot.engine.config import processor
from bot.engine.config.arrays import Rows
from bot.engine.config.precision import COMPILED, GGUF, INT4
from bot.engine.config.torch_needs import require_torch
from bot.engine.errors import EngineError
from bot.engine.interface import Engine, Prompt
from bot.engine.kernels.bindings import AUTO, KernelsMissing, arithmetic, choose_kernels
from bot.engine.kernels.decoder import CompiledDecoder
from bot.engine.local import LocalEngine
from bot.engine.model.decoder import Chunk, Decoder
from bot.engine.quantization.prepare import int4_for_once, kept_parts, locked, write_int4
from bot.engine.scheduling.passes import PREFILL_TOKENS
from bot.engine.text.chat_template import ChatTokenizer
from bot.engine.text.gguf_tokenizer import gguf_tokenizer
from bot.engine.text.sampling import GenerationDefaults, gguf_generation_config, read_generation_config
from bot.engine.weights.checkpoint import EMBEDDING, lm_head_name
from bot.engine.weights.model_files import ModelFiles, directory_of
from bot.engine.weights.parts import KeptPart
from bot.engine.weights.prepared import open_prepared, prepared_file
from bot.engine.weights.prepared_prefixes import PreparedPrefixes, prefixes_file, write_prefixes
from config.settings import Settings

log = logging.getLogger(__name__)


def open_engine(settings: Settings, directory: Path | None) -> Engine:
    """The engine that the settings ask for. Blocking: it reads the weights.

    directory: the model's; None asks the server at LLM_URL. Raises EngineError with the mend.
    """
    if directory is None:
        from bot.engine.remote import RemoteEngine  # an HTTP client takes a quarter of a second to import

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
        kernels=settings.kernels,
        context_tokens=settings.context_tokens,
        cache_mb=settings.cache_mb,
        max_queue=settings.max_queue,
    )


def open_local(
    directory: Path,
    *,
    precision: str = "auto",
    threads: int = 0,
    kernels: str = AUTO,
    context_tokens: int = 4096,
    cache_mb: int = 128,
    max_queue: int = 64,
) -> LocalEngine:
    """The engine of this project over a model's files, as `open_engine` with the settings' defaults.

    The tokenizer comes first: one that is damaged is told at once, and not after the weights were quantized.
    """
    model = ModelFiles(directory)
    tokenizer, defaults = open_tokenizer(model, model.config().vocab_size), read_generation(model)
    decoder = _open_decoder(model, precision, threads, kernels)
    name = model.name
    del model  # with the texts of a GGUF file's vocabulary
    _trim_heap()
    return LocalEngine(
        name,
        defaults,
        decoder,
        tokenizer,
        context_tokens=context_tokens,
        cache_mb=cache_mb,
        max_queue=max_queue,
        prepared=_open_prefixes(directory, decoder),
    )


def open_tokenizer(model: ModelFiles, vocab_size: int | None = None) -> ChatTokenizer:
    """The tokenizer of a directory, or the one inside a GGUF file. Raises EngineError."""
    if model.gguf is None:
        return ChatTokenizer(model.path, vocab_size)
    return ChatTokenizer(gguf_tokenizer(model.source.metadata, model.gguf), vocab_size)


def read_generation(model: ModelFiles) -> GenerationDefaults:
    """How the model draws by itself. Raises EngineError."""
    if model.gguf is None:
        return read_generation_config(model.path)
    return gguf_generation_config(model.source.metadata, model.gguf)


def _trim_heap() -> None:
    """Give back to the system what reading the tokenizer took for a while: 40 MB, which glibc keeps."""
    with suppress(AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def prepare_prefixes(
    directory: Path, prompts: Sequence[Prompt], precision: str = "auto", threads: int = 0, kernels: str = AUTO
) -> None:
    """Keep what the prompts of each role begin with beside the prepared weights: a start need not compute it.

    Nothing is done where all is there already, where it cannot be written, and where torch would compute,
    whose keys and values differ from build to build. Blocking.
    """
    if ModelFiles(directory).choose_precision(precision) not in COMPILED:
        return
    try:
        choose_kernels(kernels)
        engine = open_local(directory, precision=precision, threads=threads, kernels=kernels)
    except EngineError as problem:  # a start will say so
        log.info("no prefixes are kept: %s", problem)
    else:
        _prepare_prefixes(directory, engine, prompts)


def is_outdated(directory: Path, precision: str = "auto", kernels: str = AUTO) -> bool:
    """Whether what stands prepared beside the model is not what a start would use, and can be made anew."""
    precision = ModelFiles(directory).choose_precision(precision)
    if not prepared_file(directory, precision).exists() or not os.access(directory_of(directory), os.W_OK):
        return False
    if (prepared := open_prepared(directory, precision)) is None:
        return True
    if precision not in COMPILED:
        return False
    try:
        made_of = {**prepared.metadata, **arithmetic(choose_kernels(kernels))}
    except EngineError:
        return False
    return not PreparedPrefixes(prefixes_file(directory, precision), made_of).belongs


def _prepare_prefixes(directory: Path, engine: LocalEngine, prompts: Sequence[Prompt]) -> None:
    decoder, prefixes = engine.decoder, []
    for prompt in prompts:
        with suppress(EngineError):  # the chat template refuses it, which is told to who asks that role
            prefixes.append(engine.prefix(prompt))
    if (made_of := _prefixes_made_of(directory, decoder)) is None:
        return
    file = prefixes_file(directory, decoder.precision)
    found = PreparedPrefixes(file, made_of)
    if found.belongs and all(map(found.holds, filter(None, prefixes))):
        return
    states = {}
    for prefix in filter(None, prefixes):
        cache = decoder.new_cache()
        for at in range(0, len(prefix), PREFILL_TOKENS):
            decoder.forward([Chunk(prefix[at : at + PREFILL_TOKENS], cache)], last_only=True)
        states[tuple(prefix)] = cache.gather()
    try:
        with locked(directory):
            write_prefixes(file, made_of, states)
    except OSError as problem:
        log.info("%s cannot be written: %s", file, problem)


def _open_prefixes(directory: Path, decoder: Decoder) -> PreparedPrefixes | None:
    if (made_of := _prefixes_made_of(directory, decoder)) is None:
        return None
    return PreparedPrefixes(prefixes_file(directory, decoder.precision), made_of)


def _prefixes_made_of(directory: Path, decoder: Decoder) -> dict[str, str] | None:
    """What prepared prefixes depend on but their tokens; None where there can be none."""
    if not isinstance(decoder, CompiledDecoder):
        return None
    prepared = open_prepared(directory, decoder.precision)
    return None if prepared is None else {**prepared.metadata, **decoder.arithmetic}


def open_decoder(directory: Path, precision: str, threads: int = 0, kernels: str = AUTO) -> Decoder:
    """The decoder of a model's files, from prepared weights where they are there and belong to them.

    `threads` 0 takes one a core. Blocking: it reads the weights. Raises EngineError. int8, int4 and a GGUF
    file's own blocks are computed by the compiled kernels, without torch; where those are missing, torch
    computes.
    """
    return _open_decoder(ModelFiles(directory), precision, threads, kernels)


def _open_decoder(model: ModelFiles, precision: str, threads: int, kernels: str) -> Decoder:
    precision = model.choose_precision(precision)
    threads = threads or processor.cores()
    if precision in COMPILED:
        try:
            chosen = choose_kernels(kernels)
        except KernelsMissing as problem:
            precision = "fp32"
            log.warning("%s; until then torch computes in float32", problem)
        else:
            kept = precision
            if precision == INT4:
                model, kept = _in_int4(model), GGUF
            parts = _parts(model, kept)
            return CompiledDecoder(model.config(kept), precision, parts, *_outer(model), chosen, threads)
    require_torch("use PRECISION=int8 or int4, which need none")
    from bot.engine.model.torch_decoder import TorchDecoder  # torch is imported where it is used only

    return TorchDecoder(model.config(), precision, _parts(model, precision), *_outer(model), threads)


def _in_int4(model: ModelFiles) -> ModelFiles:
    """The GGUF file that a model is in int4."""
    try:
        return write_int4(model.path)
    except EngineError as problem:
        if os.access(directory_of(model.path), os.W_OK):
            raise
        log.warning("%s. Until then every start quantizes", problem)
        return int4_for_once(model.path)


def _parts(model: ModelFiles, precision: str) -> dict[str, KeptPart]:
    """The tensors of each part: mapped from the prepared file, else made of the model's own files now."""
    if (prepared := open_prepared(model.path, precision)) is not None:
        return {name: prepared.part(name) for name in prepared.parts}
    if precision in COMPILED:
        log.info("no prepared weights for %s: run `python -m bot prepare %s`", precision, model.path)
    return dict(kept_parts(model, precision))


def _outer(model: ModelFiles) -> tuple[Rows, Rows]:
    """The embedding's rows and the LM head's, as the checkpoint has them."""
    checkpoint = model.checkpoint()
    return checkpoint.rows_of(EMBEDDING), checkpoint.rows_of(lm_head_name(checkpoint, model.config()))
