"""Writes snapshots as a Parquet file: one row per org, slot and user type, as in the view `user_counts`.

Writes block by block, so that memory does not grow with the day. Times are timestamps in UTC; unknown counts are null.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from poller.core.errors import UsageError
from poller.export.rows import COLUMNS, counts_of, errors_of, has_errors

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError:
    raise UsageError(
        "Parquet needs pyarrow, which is not installed",
        "run `pip install pyarrow`, or use --format csv",
    ) from None

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

_INSTANT: Final = pa.timestamp("us", tz="UTC")
_KINDS: Final = (pa.int32(), pa.string(), pa.string(), _INSTANT, _INSTANT, pa.int32(), pa.string(), pa.string())
_ALWAYS_THERE: Final = {"org_id", "user_type", "slot", "outcome"}
SCHEMA: Final = pa.schema(
    [pa.field(name, kind, nullable=name not in _ALWAYS_THERE) for name, kind in zip(COLUMNS, _KINDS, strict=True)]
)


async def write(file: Any, blocks: AsyncIterator[list[Any]], user_types: Sequence[str]) -> None:
    """Writes every block of `DayReader.blocks` as a row group; the caller closes the file."""
    with pq.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
        async for block in blocks:
            writer.write_batch(_long(block, user_types), row_group_size=len(block) * len(user_types))


def _long(block: Sequence[Any], user_types: Sequence[str]) -> pa.RecordBatch:
    """Each snapshot's columns once per type, and the counts one after the other."""
    width = len(user_types)
    org_id, org, slot, polled_at, outcome, *_ = zip(*block, strict=True)
    rows = pa.array([place for place in range(len(block)) for _ in range(width)], pa.int32())

    def repeated(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
        return pa.array(values, kind).take(rows)

    return pa.RecordBatch.from_arrays(
        [
            repeated(org_id, pa.int32()),
            repeated(org, pa.string()),
            pa.array([str(user_type) for user_type in user_types] * len(block), pa.string()),
            repeated(slot, _INSTANT),
            repeated(polled_at, _INSTANT),
            pa.array([count for row in block for count in counts_of(row)], pa.int32()),
            repeated(outcome, pa.string()),
            _errors(block, user_types),
        ],
        schema=SCHEMA,
    )


def _errors(block: Sequence[Any], user_types: Sequence[str]) -> pa.Array:
    if not any(map(has_errors, block)):
        return pa.nulls(len(block) * len(user_types), pa.string())
    return pa.array([error for row in block for error in errors_of(row, user_types)], pa.string())
