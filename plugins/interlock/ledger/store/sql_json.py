"""A field of a JSON object as text in SQL, the same on SQLite and on PostgreSQL."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class json_text(FunctionElement[str]):  # it is written as a function of SQL
    """The value of a field as ``str`` writes it in Python; null when it is not there."""

    type = Text()
    name = "json_text"
    inherit_cache = True


@compiles(json_text, "postgresql")
def _on_postgresql(element: Any, compiler: Any, **kwargs: Any) -> str:
    body, field = (compiler.process(clause, **kwargs) for clause in element.clauses)
    text = f"({body}::json ->> {field})"
    return f"(CASE json_typeof({body}::json -> {field}) WHEN 'boolean' THEN initcap({text}) ELSE {text} END)"


@compiles(json_text, "sqlite")
def _on_sqlite(element: Any, compiler: Any, **kwargs: Any) -> str:
    body, field = (compiler.process(clause, **kwargs) for clause in element.clauses)
    path = f"('$.\"' || {field} || '\"')"
    return (
        f"(CASE json_type({body}, {path}) WHEN 'true' THEN 'True' WHEN 'false' THEN 'False' "
        f"ELSE CAST(json_extract({body}, {path}) AS TEXT) END)"
    )
