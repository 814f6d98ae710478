-- What a client behind an HTTP API asks in one request, where it cannot send a query. Each acts with
-- its caller's rights, so row security narrows it. Where there may be more rows than an API's row
-- limit lets through, the answer is one value: a list cut short without a word would be a loss.

-- The rows of these ids, and of each task the events after the one known (as in `known`), all as of
-- one moment.
CREATE FUNCTION public.rows_fetch(
  tasks bigint[] DEFAULT '{}', known bigint[] DEFAULT '{}', messages bigint[] DEFAULT '{}',
  conversations bigint[] DEFAULT '{}'
) RETURNS json
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT json_build_object(
    'tasks', coalesce((SELECT json_agg(t) FROM public.async_tasks t
      WHERE t.id = ANY (rows_fetch.tasks)), '[]'),
    'events', coalesce((SELECT json_agg(e ORDER BY e.id)
      FROM unnest(rows_fetch.tasks, rows_fetch.known) AS w (task_id, known)
      JOIN public.task_events e ON e.task_id = w.task_id AND e.id > w.known), '[]'),
    'messages', coalesce((SELECT json_agg(m) FROM public.chat_messages m
      WHERE m.id = ANY (rows_fetch.messages)), '[]'),
    'conversations', coalesce((SELECT json_agg(c) FROM public.chat_conversations c
      WHERE c.id = ANY (rows_fetch.conversations)), '[]'))
$$;

-- The caller's open tasks, newest first.
CREATE FUNCTION public.tasks_running() RETURNS json
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(json_agg(t ORDER BY t.id DESC), '[]') FROM public.async_tasks t
  WHERE t.status IN ('pending', 'processing')
$$;

-- The newest of the caller's tasks that match, as `task_ids` finds them.
CREATE FUNCTION public.task_list(
  statuses text[] DEFAULT NULL, types text[] DEFAULT NULL, since timestamptz DEFAULT NULL,
  conversation bigint DEFAULT NULL, words text DEFAULT NULL, most integer DEFAULT 50
) RETURNS SETOF public.async_tasks
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  -- Asked for first: in a join a planner may never get to it, and with it not to the refusal of
  -- whoever is nobody.
  ids bigint[] := public.task_ids(
    statuses => task_list.statuses, types => task_list.types, since => task_list.since,
    conversation => task_list.conversation, words => task_list.words, most => task_list.most);
BEGIN
  RETURN QUERY
    SELECT t.* FROM unnest(ids) AS wanted (id) JOIN public.async_tasks t USING (id)
    ORDER BY t.id DESC;
END
$$;

-- The caller's conversations by latest use; `words` is looked for in titles and messages.
CREATE FUNCTION public.conversation_list(
  archived boolean DEFAULT false, words text DEFAULT NULL, most integer DEFAULT 200
) RETURNS SETOF public.chat_conversations
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  WITH asked AS (
    SELECT '%' || replace(replace(replace(btrim(conversation_list.words),
      '\', '\\'), '%', '\%'), '_', '\_') || '%' AS pattern
  )
  SELECT c.* FROM public.chat_conversations c, asked
  WHERE c.is_archived = conversation_list.archived
    AND (coalesce(btrim(conversation_list.words), '') = '' OR c.title ILIKE asked.pattern
      OR EXISTS (SELECT FROM public.chat_messages m
        WHERE m.conversation_id = c.id AND m.content ILIKE asked.pattern))
  ORDER BY c.updated_at DESC LIMIT conversation_list.most
$$;

-- What of the caller's may have changed since `seconds` before `since` (NULL: now), and the time to
-- ask from next. It was taken before anything was looked at.
CREATE FUNCTION public.changes_since(
  since timestamptz DEFAULT NULL, seconds integer DEFAULT 60
) RETURNS json
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  WITH asked AS (
    SELECT (SELECT auth.uid()) AS owner,
      coalesce(changes_since.since, statement_timestamp())
        - make_interval(secs => changes_since.seconds) AS since
  ), changed AS (
    SELECT 'async_tasks' AS "table", t.id, t.revision FROM public.async_tasks t
    WHERE t.updated_at >= (SELECT a.since FROM asked a)
      AND t.created_by = (SELECT a.owner FROM asked a)
    UNION ALL
    SELECT 'chat_conversations', c.id, c.revision FROM public.chat_conversations c
    WHERE c.updated_at >= (SELECT a.since FROM asked a)
      AND c.user_id = (SELECT a.owner FROM asked a)
    UNION ALL
    SELECT 'chat_messages', m.id, m.revision FROM public.chat_messages m
    WHERE m.updated_at >= (SELECT a.since FROM asked a)
  )
  SELECT json_build_object(
    'now', statement_timestamp(),
    'rows', (SELECT coalesce(json_agg(changed), '[]') FROM changed))
$$;

CREATE FUNCTION public.server_clock() RETURNS timestamptz
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
  SELECT clock_timestamp()
$$;

-- What must hold in a database that others look after too. All of it is in the catalogue, which
-- everybody may read.
CREATE FUNCTION public.schema_health() RETURNS json
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  WITH ours AS (
    SELECT c.oid, c.relname AS name, c.relrowsecurity AS secured, c.relreplident AS identity
    FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relname IN
      ('async_tasks', 'task_events', 'chat_messages', 'chat_conversations')
  ), for_workers AS (
    SELECT p.oid, p.proname AS name FROM pg_proc p
    WHERE p.pronamespace = 'public'::regnamespace AND p.proname IN ('task_claim', 'task_step',
      'task_complete', 'task_fail', 'task_due', 'chat_history', 'chat_partial', 'chat_reply')
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
      WHERE has_any_column_privilege('anon', oid, 'SELECT, INSERT, UPDATE')),
    'closed_to_workers', (SELECT coalesce(json_agg(DISTINCT f.name), '[]')
      FROM for_workers f, worker w WHERE NOT has_function_privilege(w.oid, f.oid, 'EXECUTE')),
    'open_to_users', (SELECT coalesce(json_agg(DISTINCT f.name), '[]') FROM for_workers f
      WHERE has_function_privilege('authenticated', f.oid, 'EXECUTE')),
    'worker_logins', (SELECT count(*) FROM pg_roles r, worker w
      WHERE r.rolcanlogin AND NOT r.rolsuper AND pg_has_role(r.oid, w.oid, 'MEMBER')
        OR r.oid = w.oid AND r.rolcanlogin))
$$;

REVOKE ALL ON FUNCTION
  public.rows_fetch(bigint[], bigint[], bigint[], bigint[]), public.tasks_running(),
  public.task_list(text[], text[], timestamptz, bigint, text, integer),
  public.conversation_list(boolean, text, integer),
  public.changes_since(timestamptz, integer), public.server_clock(), public.schema_health()
FROM PUBLIC, anon, authenticated, service_role, stepline_worker;
GRANT EXECUTE ON FUNCTION
  public.rows_fetch(bigint[], bigint[], bigint[], bigint[]), public.tasks_running(),
  public.task_list(text[], text[], timestamptz, bigint, text, integer),
  public.conversation_list(boolean, text, integer),
  public.changes_since(timestamptz, integer), public.server_clock(), public.schema_health()
TO authenticated;

-- PostgREST keeps a list of what there is.
NOTIFY pgrst, 'reload schema';
