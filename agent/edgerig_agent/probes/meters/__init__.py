"""External meters: what stands beside the device and is asked over a network or a bus."""
