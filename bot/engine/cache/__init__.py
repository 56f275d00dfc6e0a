"""Kept keys and values: of one sequence, and of the prefixes that requests share."""
