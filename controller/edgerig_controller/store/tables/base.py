"""What all tables have in common."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Double, MetaData, Text
from sqlalchemy.orm import DeclarativeBase

# The newest revision under migrations/versions; a test keeps the two equal.
HEAD_REVISION = "2026_11_22_retired"

# States in which a device counts as taken. Partial indexes serve only queries
# that say this in the same words, so queries of open attempts use it, too.
OPEN_WORDS = "state IN ('offered', 'accepted', 'running', 'unknown')"
# The events that say that a golden result was judged; also the words of a partial index.
GOLDEN_WORDS = "kind = 'golden'"


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {str: Text, float: Double, dict[str, Any]: JSON, list[Any]: JSON, list[str]: JSON}  # noqa: RUF012
