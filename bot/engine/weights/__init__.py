"""From files of weights to what a decoder multiplies by: read, fused, quantized, prepared."""
