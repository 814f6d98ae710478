-- The statements of the PostgreSQL store, one per name. Row security narrows each to its user.

-- name: clock
SELECT clock_timestamp();

-- name: task_create
SELECT * FROM public.task_create(%(type)s, %(input)s, %(timeout)s, %(workflow)s);

-- name: chat_send
SELECT * FROM public.chat_send(%(conversation)s, %(content)s, %(timeout)s, %(request)s, %(workflow)s);

-- name: task_retry
SELECT * FROM public.task_retry(%(task)s);

-- name: task_cancel
SELECT * FROM public.task_cancel(%(task)s);

-- name: task_triggered
SELECT * FROM public.task_triggered(%(task)s, %(outcome)s, %(message)s);

-- name: task_expire
SELECT public.task_expire();

-- name: worker_count
SELECT public.worker_count();

-- name: conversation_rename
UPDATE public.chat_conversations SET title = %(title)s WHERE id = %(id)s RETURNING *;

-- name: conversation_archive
UPDATE public.chat_conversations SET is_archived = %(archived)s WHERE id = %(id)s RETURNING *;

-- name: conversation_delete
DELETE FROM public.chat_conversations WHERE id = %(id)s RETURNING id;

-- name: task_ids
SELECT public.task_ids(
  statuses => %(statuses)s, types => %(types)s, since => %(since)s,
  conversation => %(conversation)s, words => %(words)s, sort => %(sort)s,
  reverse => %(reverse)s, most => %(limit)s);

-- name: tasks
SELECT t.* FROM unnest(public.task_ids(
  statuses => %(statuses)s, types => %(types)s, since => %(since)s,
  conversation => %(conversation)s, words => %(words)s, most => %(limit)s)) AS wanted (id)
JOIN public.async_tasks t USING (id) ORDER BY t.id DESC;

-- name: running_tasks
SELECT * FROM public.async_tasks WHERE status IN ('pending', 'processing') ORDER BY id DESC;

-- name: fetch_tasks
SELECT * FROM public.async_tasks WHERE id = ANY (%(ids)s);

-- name: fetch_events
SELECT e.* FROM unnest(%(ids)s::bigint[], %(known)s::bigint[]) AS w (task_id, known)
JOIN public.task_events e ON e.task_id = w.task_id AND e.id > w.known
ORDER BY e.id;

-- name: fetch_messages
SELECT * FROM public.chat_messages WHERE id = ANY (%(ids)s);

-- name: fetch_conversations
SELECT * FROM public.chat_conversations WHERE id = ANY (%(ids)s);

-- name: conversations
SELECT * FROM public.chat_conversations
WHERE is_archived = %(archived)s ORDER BY updated_at DESC LIMIT %(limit)s;

-- name: conversations_matching
SELECT * FROM public.chat_conversations c
WHERE c.is_archived = %(archived)s AND (c.title ILIKE %(pattern)s OR EXISTS (
  SELECT FROM public.chat_messages m
  WHERE m.conversation_id = c.id AND m.content ILIKE %(pattern)s))
ORDER BY c.updated_at DESC LIMIT %(limit)s;

-- name: messages_newest
SELECT * FROM public.chat_messages
WHERE conversation_id = %(conversation)s AND id < %(before)s ORDER BY id DESC LIMIT %(limit)s;

-- name: messages_after
SELECT * FROM public.chat_messages
WHERE conversation_id = %(conversation)s AND id > %(after)s ORDER BY id LIMIT %(limit)s;

-- name: changed_since
SELECT 'async_tasks' AS "table", id, revision FROM public.async_tasks
WHERE updated_at >= %(since)s AND created_by = %(user)s
UNION ALL
SELECT 'chat_conversations', id, revision FROM public.chat_conversations
WHERE updated_at >= %(since)s AND user_id = %(user)s
UNION ALL
SELECT 'chat_messages', id, revision FROM public.chat_messages WHERE updated_at >= %(since)s;
