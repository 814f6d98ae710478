"""The stand-in's PostgREST: tables and functions of the schema `public` over HTTP.

Covered: select by columns, filters (eq neq gt gte lt lte like ilike is in, `not.`, `or=`, `and=`,
jsonb paths), order, limit, offset, Range, the row limit; insert, update and delete with
`Prefer: return=representation`; functions by POST and GET. Not covered: embedded tables, upserts,
counts, aggregates, media types other than JSON.
"""

import json
from typing import Any

import psycopg
from aiohttp import web
from psycopg import sql

from tests.support.supabase.filters import SyntaxProblem, order_clause, parse, selected
from tests.support.supabase.project import Connection, Project, TokenError

_RESERVED = {"select", "order", "limit", "offset", "columns", "on_conflict", "apikey"}
_BY_CLASS = {
    "08": 503, "09": 500, "0L": 403, "0P": 403, "25": 500, "28": 403, "2D": 500, "38": 500,
    "39": 500, "3B": 500, "40": 500, "53": 503, "54": 500, "55": 500, "57": 500, "58": 500,
    "F0": 500, "HV": 500, "XX": 500,
}  # fmt: skip
_BY_CODE = {"23503": 409, "23505": 409, "25006": 405, "42883": 404, "42P01": 404, "57P01": 503,
            "42P17": 500, "P0001": 400}  # fmt: skip


class Problem(Exception):
    """An answer that is an error in PostgREST's own words."""

    def __init__(self, status: int, code: str, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"code": code, "message": message, "details": None, "hint": hint}


class Rest:
    """The requests of one project."""

    def __init__(self, project: Project) -> None:
        self._project = project

    async def table(self, request: web.Request) -> web.StreamResponse:
        """GET, POST, PATCH, DELETE on /rest/v1/{table}."""

        async def use(connection: Connection) -> web.Response:
            name = request.match_info["name"]
            if not await _is_table(connection, name):
                raise Problem(
                    404, "PGRST205", f"Could not find the table 'public.{name}' in the schema cache"
                )
            statement, values = await self._statement(request, name)
            return await self._rows(request, connection, statement, values)

        return await self._answer(request, use)

    async def function(self, request: web.Request) -> web.StreamResponse:
        """POST or GET /rest/v1/rpc/{name}."""

        async def use(connection: Connection) -> web.Response:
            name = request.match_info["name"]
            given: dict[str, Any] = await request.json() if request.can_read_body else {}
            kind = await _function(connection, name, set(given))
            columns = sql.SQL(", ").join(
                sql.SQL("{} {}").format(sql.Identifier(key), sql.SQL(kind["types"][key]))
                for key in given
            )
            call = sql.SQL("{}({})").format(
                sql.Identifier("public", name),
                sql.SQL(", ").join(
                    sql.SQL("{} => _args.{}").format(sql.Identifier(key), sql.Identifier(key))
                    for key in given
                ),
            )
            source = (
                sql.SQL("json_to_record(%s) AS _args ({}), LATERAL {} AS _row").format(
                    columns, call
                )
                if given
                else sql.SQL("{} AS _row").format(call)
            )
            values: list[Any] = [json.dumps(given)] if given else []
            if not kind["composite"]:
                statement = sql.SQL("SELECT to_json(_row) AS _row FROM {}").format(source)
                return await self._scalar(connection, statement, values, kind)
            where, filters = parse(_filters(request))
            statement = sql.SQL("SELECT _row.* FROM {} WHERE {}").format(source, where)
            return await self._rows(
                request, connection, statement, values + filters, single=not kind["many"]
            )

        return await self._answer(request, use)

    async def _answer(self, request: web.Request, use: Any) -> web.Response:
        claims: dict[str, Any] = {"role": "anon"}
        try:
            claims = self._claims(request)
            async with self._project.acting(claims) as connection:
                return await use(connection)
        except Problem as problem:
            return web.json_response(problem.body, status=problem.status)
        except SyntaxProblem as problem:
            body = {"code": "PGRST100", "message": str(problem), "details": None, "hint": None}
            return web.json_response(body, status=400)
        except (json.JSONDecodeError, UnicodeDecodeError):
            body = {"code": "PGRST102", "message": "Empty or invalid json", "details": None,
                    "hint": None}  # fmt: skip
            return web.json_response(body, status=400)
        except psycopg.Error as error:
            return _refusal(error, signed_in=claims.get("role", "anon") != "anon")

    def _claims(self, request: web.Request) -> dict[str, Any]:
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer":
            return {"role": "anon"}
        try:
            return self._project.claims(token)
        except TokenError as error:
            # In PostgREST 12 an expired one is PGRST301 too, from 13 on it is PGRST303.
            raise Problem(401, "PGRST303" if error.expired else "PGRST301", str(error)) from None

    async def _statement(self, request: web.Request, name: str) -> tuple[sql.Composable, list[Any]]:
        table = sql.Identifier("public", name)
        where, filters = parse(_filters(request))
        if request.method in ("GET", "HEAD"):
            return sql.SQL("SELECT * FROM {} WHERE {}").format(table, where), filters
        if request.method == "DELETE":
            text = sql.SQL("DELETE FROM {} WHERE {} RETURNING *")
            return text.format(table, where), filters
        body: Any = await request.json()
        rows: list[dict[str, Any]] = body if isinstance(body, list) else [body]
        names = list(rows[0])
        columns = sql.SQL(", ").join(map(sql.Identifier, names))
        source = sql.SQL("json_populate_recordset(NULL::{}, %s)").format(table)
        if request.method == "POST":
            text = sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {} RETURNING *")
            return text.format(table, columns, columns, source), [json.dumps(rows)]
        changes = sql.SQL(", ").join(
            sql.SQL("{} = _new.{}").format(sql.Identifier(key), sql.Identifier(key))
            for key in names
        )
        text = sql.SQL("UPDATE {} AS _old SET {} FROM {} AS _new WHERE {} RETURNING _old.*")
        where, filters = parse(_filters(request), table="_old")
        return text.format(table, changes, source, where), [json.dumps(rows), *filters]

    async def _rows(
        self,
        request: web.Request,
        connection: Connection,
        statement: sql.Composable,
        values: list[Any],
        *,
        single: bool = False,
    ) -> web.Response:
        query = request.query
        most = self._project.max_rows
        if "limit" in query:
            most = min(most, int(query["limit"]))
        offset = int(query.get("offset", "0"))
        if "Range" in request.headers:
            first, _, last = request.headers["Range"].removeprefix("items=").partition("-")
            offset = int(first)
            most = min(most, int(last) - offset + 1) if last else most
        page = sql.SQL(
            "WITH _source AS ({}), _page AS (SELECT {} FROM _source {} LIMIT %s OFFSET %s)"
            " SELECT coalesce(json_agg(_page), '[]')::text AS body, count(*) AS n FROM _page"
        ).format(statement, selected(query.get("select", "*")), order_clause(query.get("order")))
        cursor = await connection.execute(page, [*values, most, offset])
        row = await cursor.fetchone()
        assert row is not None
        if request.method in ("POST", "PATCH", "DELETE") and "rpc" not in request.path:
            if "return=representation" not in request.headers.get("Prefer", ""):
                return web.Response(status=201 if request.method == "POST" else 204)
            return _json(row["body"], 201 if request.method == "POST" else 200)
        body: str = row["body"]
        if single:
            body = json.dumps(json.loads(body)[0])
        elif request.headers.get("Accept", "").startswith("application/vnd.pgrst.object+json"):
            if row["n"] != 1:
                raise Problem(406, "PGRST116", "Cannot coerce the result to a single JSON object")
            body = json.dumps(json.loads(body)[0])
        span = f"{offset}-{offset + row['n'] - 1}" if row["n"] else "*"
        return _json(body, 200, {"Content-Range": f"{span}/*"})

    async def _scalar(
        self,
        connection: Connection,
        statement: sql.Composable,
        values: list[Any],
        kind: dict[str, Any],
    ) -> web.Response:
        cursor = await connection.execute(
            sql.SQL("SELECT _row::text AS body FROM ({}) AS _rows").format(statement), values
        )
        bodies = [row["body"] or "null" for row in await cursor.fetchall()]
        if kind["void"]:
            return web.Response(status=204)
        return _json(f"[{','.join(bodies)}]" if kind["many"] else bodies[0])


def routes(project: Project) -> list[web.RouteDef]:
    """Where PostgREST is, in a Supabase project."""
    rest = Rest(project)
    return [
        web.route("*", "/rest/v1/rpc/{name}", rest.function),
        web.route("*", "/rest/v1/{name}", rest.table),
    ]


def _filters(request: web.Request) -> list[tuple[str, str]]:
    return [(key, value) for key, value in request.query.items() if key not in _RESERVED]


async def _is_table(connection: Connection, name: str) -> bool:
    cursor = await connection.execute(
        "SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = 'public' AND c.relname = %s AND c.relkind IN ('r', 'v', 'p')",
        (name,),
    )
    return cursor.rowcount > 0


async def _function(connection: Connection, name: str, given: set[str]) -> dict[str, Any]:
    """What the function returns and its parameters' types; the one that these arguments fit."""
    cursor = await connection.execute(
        "SELECT p.proargnames AS names, p.pronargs AS count, p.pronargdefaults AS optional,"
        " p.proretset AS many, p.prorettype = 'void'::regtype AS void,"
        " t.typtype = 'c' OR p.prorettype = 'record'::regtype AS composite,"
        " (SELECT array_agg(format_type(a, NULL) ORDER BY n)"
        "  FROM unnest(p.proargtypes) WITH ORDINALITY AS u (a, n)) AS types"
        " FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
        " JOIN pg_type t ON t.oid = p.prorettype"
        " WHERE n.nspname = 'public' AND p.proname = %s",
        (name,),
    )
    for row in await cursor.fetchall():
        names = (row["names"] or [])[: row["count"]]
        needed = set(names[: row["count"] - row["optional"]])
        if needed <= given <= set(names):
            return {**row, "types": dict(zip(names, row["types"] or [], strict=True))}
    raise Problem(
        404,
        "PGRST202",
        f"Could not find the function public.{name}({', '.join(sorted(given))})"
        " in the schema cache",
    )


def _json(body: str, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(text=body, status=status, content_type="application/json", headers=headers)


def _refusal(error: psycopg.Error, *, signed_in: bool) -> web.Response:
    code = error.sqlstate
    if code is None:
        body = {"code": "PGRST001", "message": "Database client error. Retrying the connection.",
                "details": str(error), "hint": None}  # fmt: skip
        return web.json_response(body, status=503)
    status = _BY_CODE.get(code) or _BY_CLASS.get(code[:2]) or 400
    if code == "42501":
        status = 403 if signed_in else 401
    diag = error.diag
    body = {"code": code, "message": diag.message_primary, "details": diag.message_detail,
            "hint": diag.message_hint}  # fmt: skip
    return web.json_response(body, status=status)
