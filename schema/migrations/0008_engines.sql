-- Engines that are told of each task, such as n8n by its webhook: the order of a conversation holds
-- there too, the client notes what became of its call, and what nobody called for is found again.

-- pending -> processing for exactly one caller; the others get no row, and stop. Neither does who
-- comes while an earlier message of the conversation is being answered: it is called again then.
CREATE OR REPLACE FUNCTION public.task_claim(task bigint, execution text)
RETURNS SETOF public.async_tasks
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN QUERY
    UPDATE public.async_tasks t
    SET status = 'processing', current_step = 'initializing',
        status_message = CASE WHEN t.task_type = 'chat'
          THEN 'Starting to process your chat message...' ELSE 'Starting...' END,
        processing_started_at = clock_timestamp(), n8n_execution_id = task_claim.execution
    WHERE t.id = task_claim.task AND t.status = 'pending'
      AND stepline.deadline(t) > clock_timestamp() AND NOT stepline.waits(t)
    RETURNING t.*;
END
$$;

-- What became of telling the engine of one's own task: `sent`, `unconfirmed` (no answer: it may
-- have it all the same), `unreachable` (it will be told again) or `refused` (it said no for good:
-- the task fails, unless it was claimed or ended meanwhile). An event each; what keeps the task
-- waiting is its status message too.
CREATE FUNCTION public.task_triggered(task bigint, outcome text, message text)
RETURNS public.async_tasks
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  found_task public.async_tasks := stepline.own_task(task_triggered.task);
  said text := left(coalesce(task_triggered.message, ''), 1000);
BEGIN
  IF coalesce(task_triggered.outcome, '')
     NOT IN ('sent', 'unconfirmed', 'unreachable', 'refused') THEN
    RAISE EXCEPTION 'there is no outcome %', left(task_triggered.outcome, 40)
      USING ERRCODE = 'SL004';
  END IF;
  INSERT INTO public.task_events (task_id, event_type, event_data)
  VALUES (found_task.id, 'webhook_sent',
          jsonb_build_object('outcome', task_triggered.outcome, 'message', said));
  IF found_task.status <> 'pending' THEN
    RETURN found_task;
  END IF;
  UPDATE public.async_tasks t
  SET status = CASE WHEN task_triggered.outcome = 'refused' THEN 'failed' ELSE t.status END,
      current_step = CASE WHEN task_triggered.outcome = 'refused' THEN 'failed'
        ELSE t.current_step END,
      status_message = CASE WHEN task_triggered.outcome = 'refused'
        THEN 'Processing failed: ' || said ELSE said END,
      error_details = CASE WHEN task_triggered.outcome = 'refused'
        THEN jsonb_build_object('message', said) ELSE t.error_details END
  WHERE t.id = found_task.id
  RETURNING * INTO found_task;
  RETURN found_task;
END
$$;

-- For an engine that is told of tasks: those of its types that could run and that nobody has
-- claimed or spoken of for a while, because their client is gone or could not reach it.
CREATE FUNCTION public.task_due(types text[], seconds integer DEFAULT 30)
RETURNS TABLE (task_id bigint, task_type text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT t.id, t.task_type::text FROM public.async_tasks t
  WHERE t.status = 'pending' AND t.task_type = ANY (task_due.types)
    AND t.updated_at < clock_timestamp() - make_interval(secs => task_due.seconds)
    AND stepline.deadline(t) > clock_timestamp() AND NOT stepline.waits(t)
  ORDER BY t.id LIMIT 100
$$;

REVOKE ALL ON FUNCTION public.task_triggered(bigint, text, text),
  public.task_due(text[], integer)
FROM PUBLIC, anon, authenticated, service_role, stepline_worker;
GRANT EXECUTE ON FUNCTION public.task_triggered(bigint, text, text) TO authenticated;
GRANT EXECUTE ON FUNCTION public.task_due(text[], integer) TO stepline_worker, service_role;
