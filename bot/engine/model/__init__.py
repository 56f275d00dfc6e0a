"""The decoder: what both of its implementations are, and the one on torch's kernels."""
