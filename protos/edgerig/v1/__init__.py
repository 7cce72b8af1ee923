"""Generated messages and services; `make protos` writes them."""
