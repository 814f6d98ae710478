-- What Supabase brings and plain PostgreSQL lacks: auth.users, auth.uid(), the API roles, the
-- publication. On Supabase every statement here finds its object and leaves it alone.
-- Our own internals live in the schema `stepline`, which no API exposes.

CREATE SCHEMA IF NOT EXISTS stepline;
CREATE SCHEMA IF NOT EXISTS auth;

-- Roles belong to the whole cluster, so another database may be creating them right now.
DO $$
DECLARE
  role_name text;
  may_act text := CASE WHEN current_setting('server_version_num')::int >= 160000
    THEN 'SET' ELSE 'MEMBER' END;
BEGIN
  FOREACH role_name IN ARRAY ARRAY['anon', 'authenticated', 'service_role', 'stepline_worker'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
      BEGIN
        EXECUTE format('CREATE ROLE %I NOLOGIN NOINHERIT', role_name);
      EXCEPTION WHEN duplicate_object OR unique_violation THEN
        NULL;
      END;
    END IF;
    -- The role that connects must be able to act as these. From PostgreSQL 16 on, having made a
    -- role is being a member of it that may not SET ROLE to it.
    IF NOT pg_has_role(current_user, role_name, may_act) THEN
      BEGIN
        EXECUTE format('GRANT %I TO %I', role_name, current_user);
      EXCEPTION WHEN unique_violation THEN
        NULL;
      END;
    END IF;
  END LOOP;
END
$$;

DO $$
BEGIN
  IF to_regclass('auth.users') IS NULL THEN
    CREATE TABLE auth.users (
      id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
      email text,
      created_at timestamptz NOT NULL DEFAULT now()
    );
  END IF;
  IF to_regprocedure('auth.uid()') IS NULL THEN
    CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $f$
      SELECT coalesce(
        nullif(current_setting('request.jwt.claim.sub', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
      )::uuid
    $f$;
  END IF;
  -- The realtime server reads the publication; whether one runs is not our business here.
  IF NOT EXISTS (SELECT FROM pg_publication WHERE pubname = 'supabase_realtime') THEN
    CREATE PUBLICATION supabase_realtime;
  END IF;
END
$$;

DO $$
BEGIN
  GRANT USAGE ON SCHEMA public, auth TO anon, authenticated, service_role, stepline_worker;
EXCEPTION WHEN insufficient_privilege THEN
  -- Supabase owns `auth` and has granted it to its own roles already.
  GRANT USAGE ON SCHEMA public TO stepline_worker;
END
$$;
