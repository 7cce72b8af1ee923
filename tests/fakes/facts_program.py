"""A facts command for tests of the daemon: prints the smallest valid document."""

print('{"hostname": "box", "cpu_count": 2, "worker": {"executable": "python3"}}')
