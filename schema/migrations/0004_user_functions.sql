-- What users can do, each in one transaction. They act as auth.uid(); a row of somebody else's is
-- "not found" to them. Errors: SL001 illegal transition, SL003 not found, SL004 bad input.

CREATE FUNCTION stepline.require_user() RETURNS uuid
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF auth.uid() IS NULL THEN
    RAISE EXCEPTION 'nobody is signed in' USING ERRCODE = 'SL003';
  END IF;
  RETURN auth.uid();
END
$$;

CREATE FUNCTION public.task_create(
  type text, input jsonb, timeout integer DEFAULT 180, workflow text DEFAULT NULL
) RETURNS public.async_tasks
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  task public.async_tasks;
BEGIN
  IF coalesce(btrim(task_create.type), '') = '' OR task_create.input IS NULL
     OR jsonb_typeof(task_create.input) <> 'object' THEN
    RAISE EXCEPTION 'a task needs a type and an input object' USING ERRCODE = 'SL004';
  END IF;
  INSERT INTO public.async_tasks (task_type, workflow_id, input_data, created_by, timeout_seconds)
  VALUES (task_create.type, task_create.workflow, task_create.input, stepline.require_user(),
          task_create.timeout)
  RETURNING * INTO task;
  RETURN task;
END
$$;

-- User message, pending task and the empty answer linked to it. Without a conversation a new one
-- is begun, so that none is ever left empty. The same request again gives what the first gave.
CREATE FUNCTION public.chat_send(
  conversation bigint, content text, timeout integer DEFAULT 180, request uuid DEFAULT NULL,
  workflow text DEFAULT NULL
) RETURNS TABLE (conversation_id bigint, user_message_id bigint, message_id bigint, task_id bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  owner uuid := stepline.require_user();
  asked public.chat_messages;
  reply bigint;
  task bigint;
BEGIN
  IF coalesce(btrim(chat_send.content, E' \t\n\r'), '') = '' THEN
    RAISE EXCEPTION 'a message needs some text' USING ERRCODE = 'SL004';
  END IF;
  IF chat_send.request IS NOT NULL THEN
    -- Two copies of one request at the same moment: the second waits here for the first.
    PERFORM pg_advisory_xact_lock(hashtextextended(chat_send.request::text, 0));
    SELECT m.* INTO asked FROM public.chat_messages m
    JOIN public.chat_conversations c ON c.id = m.conversation_id
    WHERE m.metadata ->> 'request' = chat_send.request::text AND m.metadata ? 'request'
      AND c.user_id = owner;
    IF FOUND THEN
      RETURN QUERY
        SELECT m.conversation_id, asked.id, m.id, m.async_task_id FROM public.chat_messages m
        WHERE m.conversation_id = asked.conversation_id AND m.id > asked.id
          AND m.role = 'assistant'
        ORDER BY m.id LIMIT 1;
      RETURN;
    END IF;
  END IF;

  IF chat_send.conversation IS NULL THEN
    INSERT INTO public.chat_conversations (user_id, title)
    VALUES (owner, left(split_part(btrim(chat_send.content, E' \t\n\r'), E'\n', 1), 60))
    RETURNING id INTO chat_send.conversation;
  ELSE
    -- One message at a time: their tasks are to be in the order of the messages.
    PERFORM FROM public.chat_conversations c
    WHERE c.id = chat_send.conversation AND c.user_id = owner FOR NO KEY UPDATE;
    IF NOT FOUND THEN
      RAISE EXCEPTION 'there is no conversation %', chat_send.conversation
        USING ERRCODE = 'SL003';
    END IF;
  END IF;

  INSERT INTO public.chat_messages (conversation_id, role, content, metadata)
  VALUES (chat_send.conversation, 'user', chat_send.content,
          jsonb_strip_nulls(jsonb_build_object('request', chat_send.request)))
  RETURNING * INTO asked;
  reply := nextval('public.chat_messages_id_seq');
  INSERT INTO public.async_tasks (task_type, workflow_id, input_data, created_by, timeout_seconds)
  VALUES ('chat', chat_send.workflow,
          jsonb_build_object('conversation_id', chat_send.conversation, 'message_id', reply,
                             'user_message_id', asked.id),
          owner, chat_send.timeout)
  RETURNING id INTO task;
  INSERT INTO public.chat_messages (id, conversation_id, role, async_task_id)
  VALUES (reply, chat_send.conversation, 'assistant', task);
  RETURN QUERY SELECT chat_send.conversation, asked.id, reply, task;
END
$$;

-- The caller's task, locked.
CREATE FUNCTION stepline.own_task(task bigint) RETURNS public.async_tasks
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  found_task public.async_tasks;
BEGIN
  SELECT * INTO found_task FROM public.async_tasks
  WHERE id = own_task.task AND created_by = stepline.require_user() FOR UPDATE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'there is no task %', own_task.task USING ERRCODE = 'SL003';
  END IF;
  RETURN found_task;
END
$$;

CREATE FUNCTION public.task_retry(task bigint) RETURNS public.async_tasks
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  old_task public.async_tasks := stepline.own_task(task_retry.task);
  new_task public.async_tasks;
BEGIN
  IF old_task.status NOT IN ('failed', 'cancelled', 'timeout') THEN
    RAISE EXCEPTION 'task % is %; only failed, cancelled and timed-out tasks can be retried',
      old_task.id, old_task.status USING ERRCODE = 'SL001';
  END IF;
  IF old_task.metadata ? 'retried_by' THEN
    RAISE EXCEPTION 'task % was retried already, as task %',
      old_task.id, old_task.metadata ->> 'retried_by' USING ERRCODE = 'SL001';
  END IF;
  IF old_task.task_type = 'chat' THEN
    -- Locked, or a conversation deleted at this moment would not see the new task.
    PERFORM FROM public.chat_messages m
    JOIN public.chat_conversations c ON c.id = m.conversation_id
    WHERE m.async_task_id = old_task.id FOR KEY SHARE OF c;
    IF NOT FOUND THEN
      RAISE EXCEPTION 'task %: no message waits for its answer (was it deleted?)',
        old_task.id USING ERRCODE = 'SL001';
    END IF;
  END IF;
  INSERT INTO public.async_tasks
    (task_type, workflow_id, input_data, created_by, timeout_seconds, metadata)
  VALUES
    (old_task.task_type, old_task.workflow_id, old_task.input_data, old_task.created_by,
     old_task.timeout_seconds, jsonb_build_object('retry_of', old_task.id,
       'attempt', coalesce((old_task.metadata ->> 'attempt')::int, 1) + 1))
  RETURNING * INTO new_task;
  UPDATE public.async_tasks
  SET metadata = metadata || jsonb_build_object('retried_by', new_task.id)
  WHERE id = old_task.id;
  UPDATE public.chat_messages
  SET async_task_id = new_task.id, content = '', thinking = NULL, metadata = metadata - 'partial'
  WHERE async_task_id = old_task.id;
  RETURN new_task;
END
$$;

CREATE FUNCTION public.task_cancel(task bigint) RETURNS public.async_tasks
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  found_task public.async_tasks := stepline.own_task(task_cancel.task);
BEGIN
  IF found_task.status = 'cancelled' THEN
    RETURN found_task;
  END IF;
  UPDATE public.async_tasks
  SET status = 'cancelled', current_step = 'cancelled', status_message = 'Cancelled by you.'
  WHERE id = found_task.id
  RETURNING * INTO found_task;
  RETURN found_task;
END
$$;

-- Every overdue task becomes `timeout`. Safe for anybody to call: it only states what is so.
CREATE FUNCTION public.task_expire() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  expired integer;
BEGIN
  WITH overdue AS (
    SELECT t.id FROM public.async_tasks t
    WHERE t.status IN ('pending', 'processing')
      AND t.created_at + make_interval(secs => t.timeout_seconds) < clock_timestamp()
      AND stepline.deadline(t) < clock_timestamp()
      AND NOT stepline.waits(t)
    FOR UPDATE SKIP LOCKED
  )
  UPDATE public.async_tasks t
  SET status = 'timeout', current_step = 'timeout',
      status_message = format('Request timed out after %s seconds. Please try again.',
                              t.timeout_seconds),
      error_details = jsonb_build_object('error', format(
        CASE WHEN t.status = 'pending' THEN 'No worker took the task within %s seconds'
             ELSE 'Workflow timeout after %s seconds' END, t.timeout_seconds))
  FROM overdue WHERE t.id = overdue.id;
  GET DIAGNOSTICS expired = ROW_COUNT;
  RETURN expired;
END
$$;

-- How many local workers have given a sign of life lately.
CREATE FUNCTION public.worker_count() RETURNS integer
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT count(*)::integer FROM stepline.workers
  WHERE heartbeat_at > clock_timestamp() - interval '10 seconds'
$$;

CREATE FUNCTION public.stepline_schema_version() RETURNS integer
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(max(version), 0) FROM stepline.migrations
$$;
