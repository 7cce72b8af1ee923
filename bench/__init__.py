"""Side-by-side benchmarks against goals, peers and limits: `python -m bench.NAME --json`."""
