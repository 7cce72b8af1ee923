"""The worker: loads a model, lets a method learn, measures and evaluates, on the device's own torch.

Knows the standard library and the torch stack only, and nothing of agents,
controllers or leases: a trial comes in as JSON, events go out as JSON lines.
"""
