"""Versions of the software, the wire protocol and the stored documents."""

VERSION = "0.1.0"

PROTOCOL_MAJOR = 1
PROTOCOL_MINOR = 1
# The minor before ours is served too: agents are updated after their controller.
OLDEST_MINOR = 0

# What a side can do beyond its minor version; a peer looks here and not at versions.
AGENT_CAPABILITIES = ("renew-certificate", "declared-reboot")
CONTROLLER_CAPABILITIES = ("renew-certificate", "probe", "declared-reboot")

# No clock that is right shows an earlier time: 2026-01-01, before this code was written.
CLOCK_FLOOR_UNIX_S = 1_767_225_600.0

# Schema of trial.json, result.json and manifest.json.
DOCUMENT_SCHEMA = 1
