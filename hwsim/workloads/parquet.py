"""Traces as Parquet, for large ones: the records of the JSON Lines format as rows.

The columns are the union of the fields of all ops, null where an op has no such field; the header
is in the metadata of the schema, under ``hwsim_trace``.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hwsim.errors import WorkloadError
from hwsim.workloads.records import RECORD_TYPES, columns, from_record, to_record
from hwsim.workloads.step import Step
from hwsim.workloads.storage import Header, file_sha256, opened, written_aside
from hwsim.workloads.stream import Located, assembled, items_of
from hwsim.workloads.strict_json import parse_json
from hwsim.workloads.trace import Trace

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

__all__ = ["read_parquet", "write_parquet"]

HEADER: Final = b"hwsim_trace"
BATCH_ROWS: Final = 16_384


def write_parquet(trace: Trace, path: Path) -> None:
    """Write ``trace`` a batch of rows at a time; ``path`` appears only once all is written."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    header = json.dumps(Header(trace.name, trace.meta).to_record(), allow_nan=False)
    schema = _schema().with_metadata({HEADER: header})
    records = (to_record(item) for _, item in items_of(trace.name, trace.steps()))
    with written_aside(path) as aside, pq.ParquetWriter(aside, schema, compression="zstd") as file:
        while batch := list(itertools.islice(records, BATCH_ROWS)):
            file.write_batch(pa.RecordBatch.from_pylist(batch, schema=schema))


def read_parquet(path: Path) -> Trace:
    """The trace in a file, of which the header is read now and each step when it is asked for.

    Raises
    ------
    WorkloadError
        Here or while going through the steps: naming file and row, field, rule and value.
    """
    with opened(path) as file:
        metadata = _parquet_file(file, path).schema_arrow.metadata or {}
    try:
        record = parse_json(metadata.get(HEADER, b"null").decode("utf-8", "replace"))
    except ValueError as error:
        raise WorkloadError(f"{path}: header: {error}") from None
    header = Header.from_record(record, f"{path}: metadata")
    return Trace(header.name, header.meta, partial(_steps, path), partial(file_sha256, path))


def _steps(path: Path) -> Iterator[Step]:
    yield from assembled(_items(path), str(path))


def _items(path: Path) -> Iterator[Located]:
    for number, row in enumerate(_rows(path), start=1):
        where = f"{path}: row {number}"
        record = {name: value for name, value in row.items() if value is not None}
        yield where, from_record(record, where)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow as pa

    with opened(path) as file:
        try:
            for batch in _parquet_file(file, path).iter_batches(BATCH_ROWS):
                yield from batch.to_pylist()
        except (pa.ArrowException, OSError, ValueError) as error:
            raise _not_parquet(path, error) from None


def _parquet_file(file: Any, path: Path) -> pq.ParquetFile:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        raise _not_parquet(path, error) from None


def _not_parquet(path: Path, error: Exception) -> WorkloadError:
    return WorkloadError(f"{path}: must be a Parquet file ({str(error).partition(chr(10))[0]})")


def _schema() -> pa.Schema:
    """One column for each name of a field of any type of record."""
    import pyarrow as pa

    arrow = {
        int: pa.int64(),
        float: pa.float64(),
        bool: pa.bool_(),
        str: pa.string(),
        list: pa.list_(pa.int64()),
    }
    found = {"type": pa.string()}
    for kind in RECORD_TYPES:
        for column in columns(kind).values():
            found.setdefault(column.name, arrow[column.rule.python])
    return pa.schema(list(found.items()))
