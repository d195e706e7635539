"""Runs one query on a copy of the store, in a process of its own that can do nothing else.

Started by `console` with the query on stdin. What it may take is bounded by the system, since DuckDB's own limits hold
for its tables only (`range(1000000000)` took 8 GB at a limit of 512 MB). Answers with one line of JSON and, where it
went well, the result as an Arrow stream. Imports nothing of ours: it is run by its path.
"""

import json
import sys
import threading
import time
from typing import Any

import duckdb
import pyarrow as pa

# Functions in FROM that read nothing but what they are given; all others are refused, whatever they are called.
TABLE_FUNCTIONS = {"range", "generate_series", "unnest", "repeat", "repeat_row", "json_each", "json_tree"}
# Kinds of query that only read: WITH may hold others (DELETE ... RETURNING).
READING = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}
# Scalar functions that tell of the process, or leave something in it.
REFUSED = {"current_setting", "getvariable", "getenv", "write_log", "current_query", "setval", "nextval", "currval"}
CONFIG: dict[str, Any] = {
    "enable_external_access": "false",
    "python_enable_replacements": "false",
    "autoload_known_extensions": "false",
    "autoinstall_known_extensions": "false",
    "allow_community_extensions": "false",
    "temp_directory": "",
    "threads": "1",
}
ONE_QUERY = "Only one query at a time is answered, and only one that reads: SELECT, WITH, FROM, VALUES or DESCRIBE."
OUT_OF_MEMORY = ("bad_alloc", "bad allocation", "Out of Memory")


class Refused(Exception):
    """The query is not one that is answered."""


def bound(seconds: float, memory: int) -> None:
    """Let the system hold this process to its share: address space, processor time, and no byte written to a file."""
    try:
        import resource
    except ImportError:  # Windows: the parent's clock is all there is
        return
    limits = {
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_CPU: int(seconds) + 2,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }
    for what, limit in limits.items():
        _, hard = resource.getrlimit(what)
        most = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        try:
            resource.setrlimit(what, (most, most))
        except (ValueError, OSError):  # a system without this limit
            continue


def check(connection: duckdb.DuckDBPyConnection, sql: str, tables: set[str]) -> None:
    """Raises Refused for anything but one query of the tables of the copy."""
    (parsed,) = connection.execute("SELECT json_serialize_sql(?)", [sql]).fetchone() or ("{}",)
    tree = json.loads(parsed)
    if tree.get("error"):
        if tree.get("error_type") == "not implemented":
            raise Refused(ONE_QUERY)
        raise Refused(f"The query has an error: {tree.get('error_message', 'it is no SQL')}")
    if len(tree["statements"]) != 1:
        raise Refused(ONE_QUERY)
    rows = connection.execute("SELECT view_name FROM duckdb_views() WHERE internal").fetchall()
    system = {str(name).lower() for (name,) in rows} - tables
    own = tables | ({name.lower() for name in named(tree)} - system)
    for node in nodes(tree):
        _check_node(node, own)


def _check_node(node: dict[str, Any], own: set[str]) -> None:
    kind = node.get("type")
    if str(kind).endswith("_NODE") and kind not in READING:
        raise Refused(ONE_QUERY)
    if kind == "BASE_TABLE" or (kind == "SHOW_REF" and node["table_name"] not in ("", '"tables"')):
        place, name = (node.get("catalog_name"), node.get("schema_name")), str(node["table_name"])
        if place not in (("", ""), ("", "main")) or name.lower() not in own:
            raise Refused(f"There is no table '{name}' here; the tables are listed beside the query.")
    if kind == "TABLE_FUNCTION":
        name = str(node["function"].get("function_name", "")).lower()
        if name not in TABLE_FUNCTIONS:
            raise Refused(f"The function {name} is not available here: a query reads the listed tables only.")
    if node.get("class") == "FUNCTION" and str(node.get("function_name", "")).lower() in REFUSED:
        raise Refused(f"The function {node['function_name']} is not available here.")


def nodes(value: Any) -> Any:
    """Every object of a parse tree."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            yield item
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)


def named(tree: Any) -> set[str]:
    """Names that the query itself gives to its parts (WITH)."""
    maps = [node["cte_map"]["map"] for node in nodes(tree) if isinstance(node.get("cte_map"), dict)]
    return {str(entry["key"]) for entries in maps for entry in entries}


def answer(request: dict[str, Any]) -> tuple[pa.Table, bool]:
    """The result, and whether it was cut to the bounds of rows and bytes."""
    config = CONFIG | {"memory_limit": f"{request['memory'] // 2}B"}
    with duckdb.connect(request["path"], read_only=True, config=config) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET lock_configuration = true")
        check(connection, request["sql"], set(request["tables"]))
        alarm = threading.Timer(request["seconds"], connection.interrupt)
        alarm.daemon = True
        alarm.start()
        try:
            return _fetched(connection.sql(request["sql"]).to_arrow_reader(2048), request["rows"], request["bytes"])
        finally:
            alarm.cancel()


def _fetched(reader: Any, most_rows: int, most_bytes: int) -> tuple[pa.Table, bool]:
    batches, rows, size, cut = [], 0, 0, False
    for batch in reader:
        keep = batch.slice(0, most_rows - rows)
        size += keep.nbytes
        cut = size > most_bytes or keep.num_rows < batch.num_rows
        if size <= most_bytes:
            batches.append(keep)
            rows += keep.num_rows
        if cut:
            break
    return pa.Table.from_batches(batches, schema=reader.schema), cut


def plain(table: pa.Table) -> pa.Table:
    """The same with types that every reader of a table knows: whole decimals as numbers, rare kinds as text."""
    names: list[str] = []
    columns = []
    for field, column in zip(table.schema, table.columns, strict=True):
        names.append(_free(field.name, names))
        columns.append(_plain(column))
    return pa.table(dict(zip(names, columns, strict=True)))


def _free(name: str, taken: list[str]) -> str:
    number, free = 2, name
    while free in taken:
        free, number = f"{name}_{number}", number + 1
    return free


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_decimal(kind):
        return column.cast(pa.float64())
    inner = kind.value_type if pa.types.is_list(kind) else kind
    known = ("is_boolean", "is_integer", "is_floating", "is_string", "is_large_string", "is_temporal", "is_null")
    if any(getattr(pa.types, name)(inner) for name in known) and not pa.types.is_interval(inner):
        return column
    return pa.chunked_array([pa.array([None if v is None else str(v) for v in column.to_pylist()], pa.string())])


def main() -> None:
    request = json.loads(sys.stdin.read())
    bound(request["seconds"], request["memory"])
    start = time.perf_counter()
    out = sys.stdout.buffer
    try:
        table, cut = answer(request)
        table = plain(table)
    except Refused as error:
        said, kind = str(error), "refused"
    except (MemoryError, pa.ArrowMemoryError, duckdb.OutOfMemoryException):
        said, kind = "", "memory"
    except duckdb.InterruptException:
        said, kind = "", "time"
    except (duckdb.Error, pa.ArrowException, OSError, ValueError, RuntimeError, RecursionError) as error:
        said = str(error)
        kind = "memory" if any(words in said for words in OUT_OF_MEMORY) else "error"
    else:
        head = {"kind": "rows", "cut": cut, "seconds": time.perf_counter() - start}
        out.write(json.dumps(head).encode() + b"\n")
        with pa.ipc.new_stream(out, table.schema) as writer:
            writer.write_table(table)
        return
    out.write(json.dumps({"kind": kind, "said": said}).encode() + b"\n")


if __name__ == "__main__":
    main()
