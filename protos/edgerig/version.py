"""Versions of the software, the wire protocol and the stored documents."""

VERSION = "0.1.0"

PROTOCOL_MAJOR = 1
PROTOCOL_MINOR = 0

# Schema of trial.json, result.json and manifest.json.
DOCUMENT_SCHEMA = 1
