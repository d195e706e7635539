"""A table as a file to take away: CSV and Parquet."""

import io
import json

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq


def csv_of(table: pa.Table) -> str:
    """Text with a head line; a list is written as JSON, what is missing as nothing."""
    columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        nested = pa.types.is_list(column.type)
        lists = [None if value is None else json.dumps(value) for value in column.to_pylist()] if nested else None
        columns[name] = pd.Series(lists, dtype=object) if nested else column.to_pandas(integer_object_nulls=True)
    return pd.DataFrame(columns).to_csv(index=False)


def parquet_of(table: pa.Table) -> bytes:
    """The same as one Parquet file."""
    content = io.BytesIO()
    pq.write_table(table, content, compression="zstd")
    return content.getvalue()
