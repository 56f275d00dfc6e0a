"""What both decoders stand on: the model's config, array types, precisions, and what the processor has."""
