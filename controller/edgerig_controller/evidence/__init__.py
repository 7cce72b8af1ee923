"""From stored studies to the records that guidelines are derived from, and back to where they came from."""
