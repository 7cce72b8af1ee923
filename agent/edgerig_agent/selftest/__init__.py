"""`edgerig-agent selftest`: a known square wave of load, and how every power sensor follows it."""
