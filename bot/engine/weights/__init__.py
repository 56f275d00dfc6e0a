"""From files of weights to what a decoder multiplies by: read, converted, fused, quantized, prepared."""
