"""From files of weights to what a decoder multiplies by: read, taken apart, or as `prepare` has kept them."""
