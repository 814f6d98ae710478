-- Row security and grants on every table and function. Users read what is theirs, create tasks
-- and conversations, and change the rest through the functions; only workers move a task forward.

ALTER TABLE public.async_tasks ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.task_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.chat_conversations ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.chat_messages ENABLE ROW LEVEL SECURITY;
ALTER TABLE stepline.workers ENABLE ROW LEVEL SECURITY;

-- Supabase grants everything on new objects to its API roles by default.
REVOKE ALL ON public.async_tasks, public.task_events, public.chat_conversations,
  public.chat_messages FROM PUBLIC, anon, authenticated, service_role, stepline_worker;
REVOKE ALL ON SEQUENCE public.async_tasks_id_seq, public.task_events_id_seq,
  public.chat_conversations_id_seq, public.chat_messages_id_seq
  FROM PUBLIC, anon, authenticated, service_role, stepline_worker;

-- (SELECT auth.uid()) is evaluated once a query instead of once a row.
CREATE POLICY "Users can access their own tasks" ON public.async_tasks
  FOR ALL TO authenticated USING (created_by = (SELECT auth.uid()))
  WITH CHECK (created_by = (SELECT auth.uid()));
CREATE POLICY "Users can read the events of their own tasks" ON public.task_events
  FOR SELECT TO authenticated USING (EXISTS (
    SELECT FROM public.async_tasks t WHERE t.id = task_id AND t.created_by = (SELECT auth.uid())));
CREATE POLICY "Users can access their own conversations" ON public.chat_conversations
  FOR ALL TO authenticated USING (user_id = (SELECT auth.uid()))
  WITH CHECK (user_id = (SELECT auth.uid()));
CREATE POLICY "Users can read the messages of their own conversations" ON public.chat_messages
  FOR SELECT TO authenticated USING (EXISTS (
    SELECT FROM public.chat_conversations c
    WHERE c.id = conversation_id AND c.user_id = (SELECT auth.uid())));

GRANT SELECT ON public.async_tasks, public.task_events, public.chat_messages,
  public.chat_conversations TO authenticated;
-- Columns that only the database or a worker may set are not among these.
GRANT INSERT (task_type, workflow_id, input_data, created_by, status, status_message,
  timeout_seconds) ON public.async_tasks TO authenticated;
GRANT INSERT (user_id, title, metadata), UPDATE (title, is_archived, metadata), DELETE
  ON public.chat_conversations TO authenticated;
GRANT USAGE ON SEQUENCE public.async_tasks_id_seq, public.chat_conversations_id_seq
  TO authenticated;

CREATE POLICY "Workers see every task" ON public.async_tasks
  FOR SELECT TO stepline_worker, service_role USING (true);
CREATE POLICY "Workers move every task" ON public.async_tasks
  FOR UPDATE TO stepline_worker, service_role USING (true) WITH CHECK (true);
CREATE POLICY "Workers read every event" ON public.task_events
  FOR SELECT TO stepline_worker, service_role USING (true);
CREATE POLICY "Workers read every message" ON public.chat_messages
  FOR SELECT TO stepline_worker, service_role USING (true);
CREATE POLICY "Workers write answers" ON public.chat_messages
  FOR UPDATE TO stepline_worker, service_role USING (role = 'assistant')
  WITH CHECK (role = 'assistant');
CREATE POLICY "Workers read every conversation" ON public.chat_conversations
  FOR SELECT TO stepline_worker, service_role USING (true);
CREATE POLICY "Workers keep their heartbeats" ON stepline.workers
  FOR ALL TO stepline_worker, service_role USING (true) WITH CHECK (true);

GRANT SELECT ON public.async_tasks, public.task_events, public.chat_messages,
  public.chat_conversations TO stepline_worker, service_role;
GRANT UPDATE (workflow_id, output_data, status, current_step, status_message, n8n_execution_id,
  processing_started_at, processing_completed_at, error_details, metadata)
  ON public.async_tasks TO stepline_worker, service_role;
GRANT UPDATE (content, thinking, metadata) ON public.chat_messages
  TO stepline_worker, service_role;
GRANT USAGE ON SCHEMA stepline TO stepline_worker, service_role;
GRANT SELECT, INSERT, UPDATE, DELETE ON stepline.workers TO stepline_worker, service_role;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA stepline FROM PUBLIC;
GRANT EXECUTE ON FUNCTION stepline.deadline(public.async_tasks),
  stepline.waits(public.async_tasks), stepline.running_task(bigint), stepline.is_final(text)
  TO stepline_worker, service_role;

REVOKE ALL ON FUNCTION
  public.task_create(text, jsonb, integer, text),
  public.chat_send(bigint, text, integer, uuid, text),
  public.task_retry(bigint), public.task_cancel(bigint), public.task_expire(),
  public.worker_count(), public.stepline_schema_version(),
  public.task_claim(bigint, text), public.task_next(text, text[]),
  public.task_step(bigint, text, text, jsonb), public.chat_history(bigint),
  public.chat_partial(bigint, text, text), public.task_complete(bigint, jsonb, text),
  public.chat_reply(bigint, text, text, jsonb), public.task_fail(bigint, jsonb, text),
  public.worker_heartbeat(text, jsonb), public.worker_bye(text)
FROM PUBLIC, anon, authenticated, service_role, stepline_worker;
GRANT EXECUTE ON FUNCTION
  public.task_create(text, jsonb, integer, text),
  public.chat_send(bigint, text, integer, uuid, text),
  public.task_retry(bigint), public.task_cancel(bigint)
TO authenticated;
GRANT EXECUTE ON FUNCTION
  public.task_expire(), public.worker_count(), public.stepline_schema_version()
TO authenticated, stepline_worker, service_role;
GRANT EXECUTE ON FUNCTION
  public.task_claim(bigint, text), public.task_next(text, text[]),
  public.task_step(bigint, text, text, jsonb), public.chat_history(bigint),
  public.chat_partial(bigint, text, text), public.task_complete(bigint, jsonb, text),
  public.chat_reply(bigint, text, text, jsonb), public.task_fail(bigint, jsonb, text),
  public.worker_heartbeat(text, jsonb), public.worker_bye(text)
TO stepline_worker, service_role;
