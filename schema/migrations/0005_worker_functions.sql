-- What workers and workflows do. They run with the worker's own rights (row policies let it see
-- every task). SL002 means: this task is no longer yours to work on; stop.

-- The task, locked: between this look and what follows nobody can end it.
CREATE FUNCTION stepline.running_task(task bigint) RETURNS public.async_tasks
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  fence text := nullif(current_setting('stepline.execution', true), '');
  found_task public.async_tasks;
BEGIN
  SELECT * INTO found_task FROM public.async_tasks
  WHERE id = running_task.task FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'there is no task %', running_task.task USING ERRCODE = 'SL003';
  END IF;
  IF found_task.status <> 'processing' THEN
    RAISE EXCEPTION 'task % is no longer processing, it is %', found_task.id, found_task.status
      USING ERRCODE = 'SL002';
  END IF;
  IF found_task.n8n_execution_id IS DISTINCT FROM coalesce(fence, found_task.n8n_execution_id) THEN
    RAISE EXCEPTION 'task % was taken over by another worker', found_task.id
      USING ERRCODE = 'SL002';
  END IF;
  RETURN found_task;
END
$$;

-- pending -> processing for exactly one caller; the others get no row, and stop.
CREATE FUNCTION public.task_claim(task bigint, execution text) RETURNS SETOF public.async_tasks
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN QUERY
    UPDATE public.async_tasks t
    SET status = 'processing', current_step = 'initializing',
        status_message = CASE WHEN t.task_type = 'chat'
          THEN 'Starting to process your chat message...' ELSE 'Starting...' END,
        processing_started_at = clock_timestamp(), n8n_execution_id = task_claim.execution
    WHERE t.id = task_claim.task AND t.status = 'pending'
      AND stepline.deadline(t) > clock_timestamp()
    RETURNING t.*;
END
$$;

-- The next task for a local worker, oldest first: one that waits, or one whose worker has given
-- no sign of life for 10 seconds. A task that outlived three workers is given up: it may be what
-- kills them.
CREATE FUNCTION public.task_next(worker text, types text[]) RETURNS SETOF public.async_tasks
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  candidate public.async_tasks;
BEGIN
  FOR candidate IN
    SELECT t.* FROM public.async_tasks t
    WHERE t.status = 'processing' AND t.task_type = ANY (task_next.types)
      AND t.n8n_execution_id LIKE 'local:%' AND t.n8n_execution_id <> task_next.worker
      AND stepline.deadline(t) > clock_timestamp()
      AND NOT EXISTS (
        SELECT FROM stepline.workers w WHERE w.id = t.n8n_execution_id
          AND w.heartbeat_at > clock_timestamp() - interval '10 seconds')
    ORDER BY t.id FOR UPDATE SKIP LOCKED
  LOOP
    IF coalesce((candidate.metadata ->> 'adoptions')::int, 0) >= 2 THEN
      PERFORM public.task_fail(candidate.id, jsonb_build_object(
        'message', 'three workers stopped while working on it; see the worker''s log'));
      CONTINUE;
    END IF;
    RETURN QUERY
      UPDATE public.async_tasks t
      SET n8n_execution_id = task_next.worker, current_step = 'initializing',
          status_message = 'The worker stopped; another one starts over...',
          metadata = t.metadata || jsonb_build_object(
            'adoptions', coalesce((t.metadata ->> 'adoptions')::int, 0) + 1)
      WHERE t.id = candidate.id
      RETURNING t.*;
    RETURN;
  END LOOP;

  SELECT t.* INTO candidate FROM public.async_tasks t
  WHERE t.status = 'pending' AND t.task_type = ANY (task_next.types)
    AND NOT stepline.waits(t) AND stepline.deadline(t) > clock_timestamp()
  ORDER BY t.id FOR UPDATE SKIP LOCKED LIMIT 1;
  IF FOUND THEN
    RETURN QUERY SELECT * FROM public.task_claim(candidate.id, task_next.worker);
  END IF;
END
$$;

-- Moves a task to a step and says what happens there; returns the task's new revision.
-- progress: {"done": 500, "total": 2000, "unit": "rows"}, or null for none.
CREATE FUNCTION public.task_step(
  task bigint, step text, message text, progress jsonb DEFAULT NULL
) RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  found_task public.async_tasks := stepline.running_task(task_step.task);
BEGIN
  UPDATE public.async_tasks t
  SET current_step = task_step.step, status_message = task_step.message,
      metadata = (t.metadata - 'progress') || CASE WHEN task_step.progress IS NULL THEN '{}'
        ELSE jsonb_build_object('progress', task_step.progress) END
  WHERE t.id = found_task.id
  RETURNING t.revision INTO found_task.revision;
  RETURN found_task.revision;
END
$$;

-- What a chat task answers: the finished messages before it, oldest first. Only its owner's, for
-- the ids in its input are whatever the owner wrote there.
CREATE FUNCTION public.chat_history(task bigint) RETURNS TABLE (role text, content text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT m.role::text, m.content FROM public.async_tasks t
  -- Nothing, where no message waits for this task's answer: it would be paid for and lost.
  JOIN public.chat_messages reply
    ON reply.id = (t.input_data ->> 'message_id')::bigint AND reply.async_task_id = t.id
  JOIN public.chat_messages m
    ON m.conversation_id = (t.input_data ->> 'conversation_id')::bigint
   AND m.id < (t.input_data ->> 'message_id')::bigint
  JOIN public.chat_conversations c ON c.id = m.conversation_id AND c.user_id = t.created_by
  WHERE t.id = chat_history.task AND m.content <> '' AND NOT m.metadata @> '{"partial": true}'
  ORDER BY m.id -- given out under the conversation's lock; created_at is from before it
$$;

-- The answer so far. At most 10 times a second on PostgreSQL, 2 on Supabase.
CREATE FUNCTION public.chat_partial(task bigint, content text, thinking text DEFAULT NULL)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  found_task public.async_tasks := stepline.running_task(chat_partial.task);
BEGIN
  UPDATE public.chat_messages m
  SET content = chat_partial.content, thinking = nullif(chat_partial.thinking, ''),
      metadata = m.metadata || '{"partial": true}'
  WHERE m.id = (found_task.input_data ->> 'message_id')::bigint
    AND m.async_task_id = found_task.id;
END
$$;

CREATE FUNCTION public.task_complete(task bigint, output jsonb, message text DEFAULT NULL)
RETURNS SETOF public.async_tasks LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  found_task public.async_tasks := stepline.running_task(task_complete.task);
BEGIN
  RETURN QUERY
    UPDATE public.async_tasks t
    SET status = 'completed', current_step = 'completed',
        status_message = coalesce(task_complete.message, 'Complete.'),
        output_data = coalesce(t.output_data, '{}') || coalesce(task_complete.output, '{}'),
        metadata = t.metadata - 'progress'
    WHERE t.id = found_task.id
    RETURNING t.*;
END
$$;

-- The answer and the end of its task together. The time taken is by this clock (n8n has none to
-- offer); output may bring tokens_used and model_used.
CREATE FUNCTION public.chat_reply(task bigint, content text, thinking text, output jsonb)
RETURNS SETOF public.async_tasks LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  found_task public.async_tasks := stepline.running_task(chat_reply.task);
  seconds numeric := round(extract(epoch FROM
    clock_timestamp() - found_task.processing_started_at)::numeric, 1);
  tokens text := chat_reply.output ->> 'tokens_used';
BEGIN
  UPDATE public.chat_messages m
  SET content = chat_reply.content, thinking = nullif(chat_reply.thinking, ''),
      metadata = m.metadata - 'partial'
  WHERE m.id = (found_task.input_data ->> 'message_id')::bigint
    AND m.async_task_id = found_task.id;
  RETURN QUERY SELECT * FROM public.task_complete(
    found_task.id,
    jsonb_build_object('ai_response', chat_reply.content, 'thinking', chat_reply.thinking)
      || coalesce(chat_reply.output, '{}')
      || jsonb_build_object('response_time_seconds', seconds),
    format('Response complete! AI generated %s in %s seconds.',
           CASE WHEN tokens IS NULL THEN 'a response' ELSE tokens || ' tokens' END,
           round(seconds)));
END
$$;

-- failed, or timeout when its deadline has passed; nothing on a final task. The task is named by
-- its id or, by an error workflow that knows no more, by its execution. error: {"message": ...}.
CREATE FUNCTION public.task_fail(
  task bigint DEFAULT NULL, error jsonb DEFAULT '{}', execution text DEFAULT NULL
) RETURNS SETOF public.async_tasks LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN QUERY
    WITH late AS (
      SELECT t.id, stepline.deadline(t) <= clock_timestamp() AND NOT stepline.waits(t) AS overdue
      FROM public.async_tasks t
      WHERE (t.id = task_fail.task
             OR task_fail.task IS NULL AND t.n8n_execution_id = task_fail.execution)
        AND t.status IN ('pending', 'processing')
      FOR UPDATE
    )
    UPDATE public.async_tasks t
    SET status = CASE WHEN late.overdue THEN 'timeout' ELSE 'failed' END,
        current_step = CASE WHEN late.overdue THEN 'timeout' ELSE 'failed' END,
        status_message = CASE
          WHEN late.overdue THEN format('Request timed out after %s seconds. Please try again.',
                                        t.timeout_seconds)
          ELSE 'Processing failed: ' || left(coalesce(nullif(task_fail.error ->> 'message', ''),
                                                      nullif(task_fail.error ->> 'error', ''),
                                                      'Unknown error occurred'), 1000) END,
        error_details = CASE
          WHEN late.overdue THEN coalesce(task_fail.error, '{}') || jsonb_build_object('error',
            format('Workflow timeout after %s seconds', t.timeout_seconds))
          ELSE coalesce(task_fail.error, '{}') END
    FROM late WHERE t.id = late.id
    RETURNING t.*;
END
$$;

CREATE FUNCTION public.worker_heartbeat(worker text, info jsonb DEFAULT '{}') RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  DELETE FROM stepline.workers WHERE heartbeat_at < clock_timestamp() - interval '1 day';
  INSERT INTO stepline.workers (id, info) VALUES (worker_heartbeat.worker, worker_heartbeat.info)
  ON CONFLICT (id) DO UPDATE SET heartbeat_at = clock_timestamp()
$$;

-- A worker leaves: what it still holds is free to be adopted at once.
CREATE FUNCTION public.worker_bye(worker text) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  DELETE FROM stepline.workers WHERE id = worker_bye.worker
$$;
