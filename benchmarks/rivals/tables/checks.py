"""The checks of the gate by pandera on polars or by plain DuckDB: python checks.py pandera|duckdb MANIFEST CHECKS

CHECKS is a JSON list of `{"name", "kind", "kwargs"}`, expectations with their bounds. Prints the failing rows of each as JSON.
"""

from __future__ import annotations

import json
import sys
from typing import Any

TYPES = {"str": "VARCHAR", "int64": "BIGINT", "float64": "DOUBLE", "bool": "BOOLEAN"}
SIDES = ("shortest_side", "longest_side")


def between(column: str, kwargs: dict[str, Any]) -> str:
    """The failing rows of bounds, as a condition of SQL."""
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    return " OR ".join(f"{column} {sign} {bound}" for sign, bound in (("<", low), (">", high)) if bound is not None)


def condition(kind: str, kwargs: dict[str, Any]) -> str:
    """The failing rows of an expectation about a column, as a condition of SQL."""
    column = f'"{kwargs["column"]}"'
    if kind == "expect_column_values_to_be_of_type":
        return f"{column} IS NOT NULL AND typeof({column}) <> '{TYPES[kwargs['type_']]}'"
    if kind == "expect_column_values_to_not_be_null":
        return f"{column} IS NULL"
    if kind == "expect_column_values_to_be_null":
        return f"{column} IS NOT NULL"
    if kind == "expect_column_values_to_match_regex":
        return f"NOT regexp_matches({column}, '{kwargs['regex']}')"
    if kind == "expect_column_values_to_be_in_set":
        known = ", ".join("'" + str(value).replace("'", "''") + "'" for value in kwargs["value_set"])
        return f"{column} NOT IN ({known})"
    return between(column, kwargs)


DERIVED = """
    SELECT *, least(width, height) AS shortest_side, greatest(width, height) AS longest_side,
        CASE WHEN decodable THEN NULL ELSE coalesce(error, 'it does not decode') END AS unreadable,
        CASE WHEN label IS NOT NULL THEN count(*) OVER (PARTITION BY label) END AS class_rows,
        CASE WHEN sha256 IS NOT NULL AND id <> min(id) OVER (PARTITION BY sha256) THEN 'repeat' END AS repeat_of,
        count(*) OVER (PARTITION BY id) AS same_id,
    FROM manifest"""


def by_duckdb(manifest: str, checks: list[dict[str, Any]]) -> dict[str, int]:
    """One query over the Parquet file."""
    import duckdb

    base = duckdb.connect()
    base.execute("SET threads = 2")
    base.execute(f"CREATE VIEW manifest AS SELECT * FROM read_parquet('{manifest}')")
    wanted = []
    for one in checks:
        unique = one["kind"] == "expect_column_values_to_be_unique"
        wanted.append("same_id > 1" if unique else condition(one["kind"], one["kwargs"]))
    counts = ", ".join(f"count(*) FILTER (WHERE {one})" for one in wanted)
    [row] = base.execute(f"SELECT {counts} FROM ({DERIVED})").fetchall()
    return {one["name"]: count for one, count in zip(checks, row, strict=True)}


def by_pandera(manifest: str, checks: list[dict[str, Any]]) -> dict[str, int]:
    """A schema of checks, all evaluated before the errors are collected (`lazy`)."""
    import pandera.polars as pa
    import polars as pl

    table = pl.read_parquet(manifest)
    table = table.with_columns(
        shortest_side=pl.min_horizontal("width", "height"),
        longest_side=pl.max_horizontal("width", "height"),
        unreadable=pl.when(pl.col("decodable")).then(None).otherwise(pl.col("error").cast(pl.String).fill_null("broken")),
        class_rows=pl.when(pl.col("label").is_not_null()).then(pl.len().over("label")),
        repeat_of=pl.when(pl.col("sha256").is_not_null() & (pl.col("id") != pl.col("id").min().over("sha256"))).then(pl.lit("x")),
    )
    types = {"str": pl.String, "int64": pl.Int64, "float64": pl.Float64, "bool": pl.Boolean}

    def check(kind: str, kwargs: dict[str, Any]) -> Any:
        low, high = kwargs.get("min_value"), kwargs.get("max_value")

        def holds(data: Any) -> Any:
            column = pl.col(data.key)
            if kind == "expect_column_values_to_not_be_null":
                held = column.is_not_null()
            elif kind == "expect_column_values_to_be_null":
                held = column.is_null()
            elif kind == "expect_column_values_to_match_regex":
                held = column.str.contains(kwargs["regex"]).fill_null(True)
            elif kind == "expect_column_values_to_be_in_set":
                held = column.is_in(kwargs["value_set"]).fill_null(True)
            elif kind == "expect_column_values_to_be_unique":
                held = ~column.is_duplicated()
            else:
                held = pl.lit(True)
                held = held & (column >= low) if low is not None else held
                held = (held & (column <= high) if high is not None else held).fill_null(True)
            return data.lazyframe.select(held)

        return pa.Check(holds)

    columns: dict[str, Any] = {}
    for one in checks:
        name = one["kwargs"]["column"]
        column = columns.setdefault(name, {"checks": [], "names": [], "dtype": None})
        if one["kind"] == "expect_column_values_to_be_of_type":
            column["dtype"] = None if table.schema[name] == pl.Null else types[one["kwargs"]["type_"]]
        else:
            column["checks"].append(check(one["kind"], one["kwargs"]))
            column["names"].append(one["name"])
    schema = pa.DataFrameSchema(
        {name: pa.Column(found["dtype"], checks=found["checks"], nullable=True) for name, found in columns.items()}
    )
    counts = {one["name"]: 0 for one in checks}
    try:
        schema.validate(table, lazy=True)
    except pa.errors.SchemaErrors as errors:
        for error in errors.schema_errors:
            found = columns[error.schema.name]
            counts[found["names"][error.check_index]] = len(error.failure_cases)
    return counts


if __name__ == "__main__":
    by = {"pandera": by_pandera, "duckdb": by_duckdb}[sys.argv[1]]
    print(json.dumps(by(sys.argv[2], json.loads(sys.argv[3]))))
