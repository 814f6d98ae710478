-- Whoever owns the tables is in `stepline_worker` without being an engine's login, and a function
-- that the key alone may call is as wrong as one that every user may.
CREATE OR REPLACE FUNCTION public.schema_health() RETURNS json
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  WITH ours AS (
    SELECT c.oid, c.relname AS name, c.relowner AS owner, c.relrowsecurity AS secured,
      c.relreplident AS identity
    FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relname IN
      ('async_tasks', 'task_events', 'chat_messages', 'chat_conversations')
  ), for_workers AS (
    SELECT p.oid, p.proname AS name FROM pg_proc p
    WHERE p.pronamespace = 'public'::regnamespace AND p.proname IN ('task_claim', 'task_next',
      'task_step', 'task_complete', 'task_fail', 'task_due', 'chat_history', 'chat_partial',
      'chat_reply', 'worker_heartbeat', 'worker_bye')
  ), worker AS (
    SELECT r.oid FROM pg_roles r WHERE r.rolname = 'stepline_worker'
  )
  SELECT json_build_object(
    'unsecured', (SELECT coalesce(json_agg(name ORDER BY name), '[]') FROM ours
      WHERE NOT secured),
    'unpublished', (SELECT coalesce(json_agg(o.name ORDER BY o.name), '[]') FROM ours o
      WHERE NOT EXISTS (SELECT FROM pg_publication_tables t WHERE t.pubname = 'supabase_realtime'
        AND t.schemaname = 'public' AND t.tablename = o.name)),
    'full_identity', (SELECT coalesce(json_agg(name ORDER BY name), '[]') FROM ours
      WHERE identity <> 'd'),
    'open_to_anon', (SELECT coalesce(json_agg(name ORDER BY name), '[]') FROM ours
      WHERE has_any_column_privilege('anon', oid, 'SELECT, INSERT, UPDATE')
        OR has_table_privilege('anon', oid, 'DELETE')),
    'closed_to_workers', (SELECT coalesce(json_agg(DISTINCT f.name), '[]')
      FROM for_workers f, worker w WHERE NOT has_function_privilege(w.oid, f.oid, 'EXECUTE')),
    'open_to_users', (SELECT coalesce(json_agg(DISTINCT f.name), '[]') FROM for_workers f
      WHERE has_function_privilege('authenticated', f.oid, 'EXECUTE')
        OR has_function_privilege('anon', f.oid, 'EXECUTE')),
    'worker_logins', (SELECT count(*) FROM pg_roles r, worker w
      WHERE r.rolcanlogin AND NOT r.rolsuper AND pg_has_role(r.oid, w.oid, 'MEMBER')
        AND r.oid NOT IN (SELECT o.owner FROM ours o)))
$$;

-- As in 0009, but planned with the time at hand: asked every few seconds, it must not read the
-- tables from end to end, which a planner that does not know the time takes for the cheaper way.
CREATE OR REPLACE FUNCTION public.changes_since(
  since timestamptz DEFAULT NULL, seconds integer DEFAULT 60
) RETURNS json
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan AS $$
DECLARE
  now timestamptz := statement_timestamp();
  owner uuid := auth.uid();
  start timestamptz :=
    coalesce(changes_since.since, now) - make_interval(secs => changes_since.seconds);
  found json;
BEGIN
  SELECT coalesce(json_agg(changed), '[]') INTO found FROM (
    SELECT 'async_tasks' AS "table", t.id, t.revision FROM public.async_tasks t
    WHERE t.updated_at >= start AND t.created_by = owner
    UNION ALL
    SELECT 'chat_conversations', c.id, c.revision FROM public.chat_conversations c
    WHERE c.updated_at >= start AND c.user_id = owner
    UNION ALL
    SELECT 'chat_messages', m.id, m.revision FROM public.chat_messages m
    WHERE m.updated_at >= start
  ) changed;
  RETURN json_build_object('now', now, 'rows', found);
END
$$;

NOTIFY pgrst, 'reload schema';
