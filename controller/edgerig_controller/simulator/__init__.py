"""Simulated devices: the real protocol over real mTLS, with scripted work instead of models."""
