"""What a Supabase project's database has before anything of ours is in it."""

import psycopg

_ROLES = """
DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['anon', 'authenticated', 'service_role'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
      EXECUTE format('CREATE ROLE %I NOLOGIN NOINHERIT', name);
    END IF;
  END LOOP;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'authenticator') THEN
    CREATE ROLE authenticator LOGIN NOINHERIT;
  END IF;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'project_owner') THEN
    -- What `postgres` is on a project: no superuser.
    CREATE ROLE project_owner LOGIN CREATEROLE CREATEDB BYPASSRLS REPLICATION;
  END IF;
END
$$;
ALTER ROLE service_role BYPASSRLS;
GRANT anon, authenticated, service_role TO authenticator;
GRANT anon, authenticated, service_role TO project_owner WITH ADMIN OPTION;
"""

_AUTH = """
CREATE SCHEMA IF NOT EXISTS auth;
CREATE TABLE IF NOT EXISTS auth.users (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  email text,
  created_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE auth.users
  ADD COLUMN IF NOT EXISTS encrypted_password text,
  ADD COLUMN IF NOT EXISTS is_anonymous boolean NOT NULL DEFAULT false,
  ADD COLUMN IF NOT EXISTS banned_until timestamptz;
CREATE OR REPLACE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS $f$
  SELECT coalesce(
    nullif(current_setting('request.jwt.claim.sub', true), ''),
    nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
  )::uuid
$f$;
GRANT USAGE ON SCHEMA auth TO anon, authenticated, service_role, project_owner;
GRANT SELECT, REFERENCES, TRIGGER ON auth.users TO project_owner;
GRANT USAGE ON SCHEMA public TO anon, authenticated, service_role;
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_publication WHERE pubname = 'supabase_realtime') THEN
    CREATE PUBLICATION supabase_realtime;
    ALTER PUBLICATION supabase_realtime OWNER TO project_owner;
  END IF;
END
$$;
"""

_GENEROUS = """
GRANT ALL ON SCHEMA public TO project_owner;
ALTER DEFAULT PRIVILEGES FOR ROLE project_owner IN SCHEMA public
  GRANT ALL ON TABLES TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES FOR ROLE project_owner IN SCHEMA public
  GRANT ALL ON SEQUENCES TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES FOR ROLE project_owner IN SCHEMA public
  GRANT ALL ON FUNCTIONS TO anon, authenticated, service_role;
"""


def prepare(conninfo: str) -> None:
    """Adds what is missing, as a superuser: also to a database that has our schema already."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        # Roles belong to the whole cluster, and tests run side by side.
        connection.execute("SELECT pg_advisory_lock(4711)")
        connection.execute(_ROLES)
        connection.execute(_AUTH)


def prepare_empty(conninfo: str) -> None:
    """An empty database becomes a new project's; `project_owner` is what `postgres` is there."""
    prepare(conninfo)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        [name] = connection.execute("SELECT current_database()").fetchone() or [""]
        connection.execute(f'ALTER DATABASE "{name}" OWNER TO project_owner'.encode())
        connection.execute(_GENEROUS)
