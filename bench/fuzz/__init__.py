"""Throws mutated and random messages at the parsers and service handlers; see `__main__`."""
