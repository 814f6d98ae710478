-- What must hold whoever writes: revisions, the state machine, the event log, the hints.

-- A task's deadline. Pending tasks have one too, or one that no engine takes would wait for ever;
-- a chat task that waits for an earlier answer of its conversation is given its time afresh.
CREATE FUNCTION stepline.deadline(task public.async_tasks) RETURNS timestamptz
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT make_interval(secs => task.timeout_seconds) + CASE
    WHEN task.processing_started_at IS NOT NULL THEN task.processing_started_at
    WHEN task.task_type = 'chat' THEN greatest(task.created_at, (
      SELECT max(earlier.processing_completed_at) FROM public.async_tasks earlier
      WHERE earlier.task_type = 'chat' AND earlier.id < task.id
        AND earlier.created_by = task.created_by
        AND earlier.input_data ->> 'conversation_id' = task.input_data ->> 'conversation_id'))
    ELSE task.created_at
  END
$$;

-- Whether an earlier message of the same conversation is still being answered: its answer belongs
-- into this task's history. Of the same owner only: anybody may write any id into their input.
CREATE FUNCTION stepline.waits(task public.async_tasks) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT task.task_type = 'chat' AND task.status = 'pending' AND EXISTS (
    SELECT FROM public.async_tasks earlier
    WHERE earlier.task_type = 'chat' AND earlier.id < task.id
      AND earlier.created_by = task.created_by
      AND earlier.input_data ->> 'conversation_id' = task.input_data ->> 'conversation_id'
      AND earlier.status IN ('pending', 'processing'))
$$;

CREATE FUNCTION stepline.is_final(status text) RETURNS boolean
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT status IN ('completed', 'failed', 'cancelled', 'timeout')
$$;

-- Every update of a row raises its revision by one.
CREATE FUNCTION stepline.touch() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  NEW.revision := OLD.revision + 1;
  NEW.updated_at := clock_timestamp();
  RETURN NEW;
END
$$;
CREATE TRIGGER touch BEFORE UPDATE ON public.chat_conversations
  FOR EACH ROW EXECUTE FUNCTION stepline.touch();
CREATE TRIGGER touch BEFORE UPDATE ON public.chat_messages
  FOR EACH ROW EXECUTE FUNCTION stepline.touch();

-- The state machine. A definer's function, because it keeps the linked message's partial answer.
CREATE FUNCTION stepline.guard_task() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  fence text := nullif(current_setting('stepline.execution', true), '');
  partial text;
BEGIN
  NEW.output_data := coalesce(NEW.output_data, '{}');
  NEW.metadata := coalesce(NEW.metadata, '{}');
  IF TG_OP = 'INSERT' THEN
    IF NEW.status <> 'pending' THEN
      RAISE EXCEPTION 'a new task is pending, not %', NEW.status USING ERRCODE = 'SL001';
    END IF;
    IF jsonb_path_exists(NEW.input_data, '$.**{101 to last}') THEN
      -- Readers give up on what is nested deeper, and a worker must survive reading any task.
      RAISE EXCEPTION 'the input is nested more than 100 levels deep' USING ERRCODE = 'SL004';
    END IF;
    NEW.status_message := coalesce(NEW.status_message, 'Task created, waiting to start...');
    NEW.revision := 1;
    RETURN NEW;
  END IF;

  IF (NEW.id, NEW.task_type, NEW.input_data, NEW.created_by, NEW.created_at, NEW.timeout_seconds)
      IS DISTINCT FROM
     (OLD.id, OLD.task_type, OLD.input_data, OLD.created_by, OLD.created_at, OLD.timeout_seconds)
  THEN
    RAISE EXCEPTION 'task %: its type, input, owner and timeout never change', OLD.id
      USING ERRCODE = 'SL001';
  END IF;
  IF fence IS NOT NULL AND OLD.status = 'processing' AND OLD.n8n_execution_id IS DISTINCT FROM fence
  THEN
    RAISE EXCEPTION 'task % was taken over by another worker', OLD.id USING ERRCODE = 'SL002';
  END IF;
  -- Of a final row only one thing may still change: that it was retried, and by which task, once.
  IF stepline.is_final(OLD.status) AND
     (NEW.status, NEW.current_step, NEW.status_message, NEW.output_data, NEW.error_details,
      NEW.workflow_id, NEW.n8n_execution_id, NEW.processing_started_at,
      NEW.processing_completed_at,
      CASE WHEN OLD.metadata ? 'retried_by' THEN NEW.metadata ELSE NEW.metadata - 'retried_by' END)
      IS DISTINCT FROM
     (OLD.status, OLD.current_step, OLD.status_message, OLD.output_data, OLD.error_details,
      OLD.workflow_id, OLD.n8n_execution_id, OLD.processing_started_at,
      OLD.processing_completed_at, OLD.metadata)
  THEN
    RAISE EXCEPTION 'task % is already %; a final state is final', OLD.id, OLD.status
      USING ERRCODE = 'SL001';
  END IF;
  IF NEW.status <> OLD.status AND NOT (
    (OLD.status = 'pending' AND NEW.status IN ('processing', 'failed', 'cancelled', 'timeout'))
    OR (OLD.status = 'processing' AND stepline.is_final(NEW.status)))
  THEN
    RAISE EXCEPTION 'task % cannot go from % to %', OLD.id, OLD.status, NEW.status
      USING ERRCODE = 'SL001';
  END IF;

  IF NEW.status = 'processing' THEN
    NEW.processing_started_at := coalesce(NEW.processing_started_at, clock_timestamp());
  ELSIF stepline.is_final(NEW.status) AND NOT stepline.is_final(OLD.status) THEN
    NEW.processing_completed_at := coalesce(NEW.processing_completed_at, clock_timestamp());
    IF NEW.status <> 'completed' AND NEW.task_type = 'chat' THEN
      -- A retry writes over the message; the text so far stays with this attempt.
      SELECT content INTO partial FROM public.chat_messages
      WHERE async_task_id = NEW.id AND content <> '';
      IF FOUND THEN
        NEW.output_data := coalesce(NEW.output_data, '{}')
          || jsonb_build_object('partial_response', partial);
      END IF;
    END IF;
  END IF;
  NEW.revision := OLD.revision + 1;
  NEW.updated_at := clock_timestamp();
  RETURN NEW;
END
$$;
CREATE TRIGGER guard BEFORE INSERT OR UPDATE ON public.async_tasks
  FOR EACH ROW EXECUTE FUNCTION stepline.guard_task();

-- The event log: one event for each change of status, step or worker, one more for an error.
-- Within a task the ids are in commit order, because the task's row lock is held meanwhile.
CREATE FUNCTION stepline.log_task() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  was public.async_tasks := CASE WHEN TG_OP = 'UPDATE' THEN OLD END;
BEGIN
  IF NEW.status IS DISTINCT FROM was.status THEN
    INSERT INTO public.task_events (task_id, event_type, event_data)
    VALUES (NEW.id, 'status_change', jsonb_strip_nulls(jsonb_build_object(
      'from', was.status, 'status', NEW.status, 'message', NEW.status_message)));
  END IF;
  IF TG_OP = 'UPDATE' AND OLD.status = 'processing' AND NEW.status = 'processing'
     AND OLD.n8n_execution_id IS DISTINCT FROM NEW.n8n_execution_id THEN
    INSERT INTO public.task_events (task_id, event_type, event_data)
    VALUES (NEW.id, 'adopted', jsonb_build_object(
      'from', OLD.n8n_execution_id, 'to', NEW.n8n_execution_id));
    -- The steps begin again, also where the new worker enters the step the old one died in.
    INSERT INTO public.task_events (task_id, event_type, event_data)
    VALUES (NEW.id, 'step_update', jsonb_strip_nulls(jsonb_build_object(
      'step', NEW.current_step, 'message', NEW.status_message)));
  ELSIF NEW.current_step IS DISTINCT FROM was.current_step AND NEW.current_step IS NOT NULL THEN
    INSERT INTO public.task_events (task_id, event_type, event_data)
    VALUES (NEW.id, 'step_update', jsonb_strip_nulls(jsonb_build_object(
      'step', NEW.current_step, 'message', NEW.status_message)));
  END IF;
  IF NEW.status IN ('failed', 'timeout') AND NEW.status IS DISTINCT FROM was.status THEN
    INSERT INTO public.task_events (task_id, event_type, event_data)
    VALUES (NEW.id, 'error', coalesce(NEW.error_details, '{}'));
  END IF;
  RETURN NULL;
END
$$;
CREATE TRIGGER log AFTER INSERT OR UPDATE ON public.async_tasks
  FOR EACH ROW EXECUTE FUNCTION stepline.log_task();

-- Hints for the feed: which row changed, never what is in it. A channel per owner, because any
-- role may listen on any channel. Workers hear of new and of cancelled tasks.
CREATE FUNCTION stepline.hint(owner uuid, relation text, id bigint, revision bigint) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  SELECT pg_notify('stepline_' || owner,
    json_build_object('table', relation, 'id', id, 'revision', revision)::text)
  WHERE owner IS NOT NULL
$$;

CREATE FUNCTION stepline.hint_task() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    PERFORM stepline.hint(OLD.created_by, TG_TABLE_NAME, OLD.id, 0);
    RETURN NULL;
  END IF;
  PERFORM stepline.hint(NEW.created_by, TG_TABLE_NAME, NEW.id, NEW.revision);
  IF TG_OP = 'INSERT' OR NEW.status <> OLD.status THEN
    -- Also when one ends: the next message of its conversation may now be taken.
    PERFORM pg_notify('stepline_work',
      json_build_object('id', NEW.id, 'status', NEW.status)::text);
  END IF;
  RETURN NULL;
END
$$;
CREATE TRIGGER hint AFTER INSERT OR UPDATE OR DELETE ON public.async_tasks
  FOR EACH ROW EXECUTE FUNCTION stepline.hint_task();

CREATE FUNCTION stepline.hint_conversation() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    PERFORM stepline.hint(OLD.user_id, TG_TABLE_NAME, OLD.id, 0);
  ELSE
    PERFORM stepline.hint(NEW.user_id, TG_TABLE_NAME, NEW.id, NEW.revision);
  END IF;
  RETURN NULL;
END
$$;
CREATE TRIGGER hint AFTER INSERT OR UPDATE OR DELETE ON public.chat_conversations
  FOR EACH ROW EXECUTE FUNCTION stepline.hint_conversation();

CREATE FUNCTION stepline.hint_message() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  message public.chat_messages := CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
BEGIN
  PERFORM stepline.hint(
    (SELECT user_id FROM public.chat_conversations WHERE id = message.conversation_id),
    TG_TABLE_NAME, message.id, CASE WHEN TG_OP = 'DELETE' THEN 0 ELSE message.revision END);
  RETURN NULL;
END
$$;
CREATE TRIGGER hint AFTER INSERT OR UPDATE OR DELETE ON public.chat_messages
  FOR EACH ROW EXECUTE FUNCTION stepline.hint_message();

-- Conversations are listed by latest use.
CREATE FUNCTION stepline.use_conversation() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE public.chat_conversations SET is_archived = false WHERE id = NEW.conversation_id;
  RETURN NULL;
END
$$;
CREATE TRIGGER use_conversation AFTER INSERT ON public.chat_messages
  FOR EACH ROW WHEN (NEW.role = 'user') EXECUTE FUNCTION stepline.use_conversation();

-- Nobody would see the answers of a conversation that is gone.
CREATE FUNCTION stepline.end_conversation() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE public.async_tasks
  SET status = 'cancelled', current_step = 'cancelled',
      status_message = 'Cancelled: the conversation was deleted.'
  WHERE task_type = 'chat' AND status IN ('pending', 'processing')
    AND input_data ->> 'conversation_id' = OLD.id::text AND created_by = OLD.user_id;
  RETURN OLD;
END
$$;
CREATE TRIGGER end_conversation BEFORE DELETE ON public.chat_conversations
  FOR EACH ROW EXECUTE FUNCTION stepline.end_conversation();
