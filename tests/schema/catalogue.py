"""What a database consists of, as text that can be compared."""

import psycopg

_SCHEMAS = "('public', 'stepline', 'auth')"
_PARTS = {
    "schemas": f"""
        SELECT nspname, nspacl::text FROM pg_namespace WHERE nspname IN {_SCHEMAS}""",
    "relations": f"""
        SELECT c.oid::regclass::text, c.relkind, c.relrowsecurity, c.relforcerowsecurity,
               (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(c.relacl) a)
        FROM pg_class c WHERE c.relnamespace::regnamespace::text IN {_SCHEMAS}""",
    "columns": f"""
        SELECT a.attrelid::regclass::text, a.attname, a.attnum,
               format_type(a.atttypid, a.atttypmod), a.attnotnull,
               pg_get_expr(d.adbin, d.adrelid),
               (SELECT array_agg(x::text ORDER BY x::text) FROM unnest(a.attacl) x)
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
          AND c.relnamespace::regnamespace::text IN {_SCHEMAS}""",
    "constraints": f"""
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace::regnamespace::text IN {_SCHEMAS}""",
    "indexes": f"SELECT indexname, indexdef FROM pg_indexes WHERE schemaname IN {_SCHEMAS}",
    "functions": f"""
        SELECT p.oid::regprocedure::text, pg_get_functiondef(p.oid),
               (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(p.proacl) a)
        FROM pg_proc p WHERE p.pronamespace::regnamespace::text IN {_SCHEMAS}""",
    "policies": f"SELECT * FROM pg_policies WHERE schemaname IN {_SCHEMAS}",
    "triggers": """
        SELECT tgrelid::regclass::text, pg_get_triggerdef(oid), tgenabled FROM pg_trigger
        WHERE NOT tgisinternal""",
    "publications": "SELECT pubname, schemaname, tablename FROM pg_publication_tables",
    "ledger": "SELECT version, name, checksum FROM stepline.migrations",
}


def catalogue(conninfo: str) -> dict[str, set[str]]:
    """Every table, column, constraint, index, function, policy, trigger and grant."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        return {
            part: {repr(row) for row in connection.execute(statement.encode())}
            for part, statement in _PARTS.items()
        }
