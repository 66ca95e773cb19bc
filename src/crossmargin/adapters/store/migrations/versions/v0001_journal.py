"""Version 0001: records, snapshots with their parts, and the row that fences writers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

# A record is never dropped, so there is no way back from a version: a backup is the way back.


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "records",
        # SQLite's own row number where the type is spelled INTEGER: no second index.
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True,
                  autoincrement=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )  # fmt: skip
    op.create_table(
        "snapshots",
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("state_hash", sa.LargeBinary, nullable=False),
        sa.Column("n_parts", sa.Integer, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "snapshot_parts",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("part", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    writer = op.create_table(
        "writer",
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("restoring", sa.Integer, nullable=False),
    )
    op.bulk_insert(writer, [{"epoch": 0, "holder": "", "restoring": 0}])
