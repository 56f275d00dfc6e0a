"""From a model's own weights to the files that `prepare` writes beside it: int8, and int4 as a GGUF file."""
