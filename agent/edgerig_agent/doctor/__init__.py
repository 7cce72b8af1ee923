"""`edgerig-agent doctor`: what can be measured here, how fast, what is missing, and what mends it."""
