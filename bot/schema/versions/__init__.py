"""Steps from one schema to the next, in the order of their `down_revision`."""
