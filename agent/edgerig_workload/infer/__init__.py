"""Greedy generation step by step, and the inference profile that is timed with it."""
