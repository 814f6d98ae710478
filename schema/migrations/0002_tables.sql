-- The tables of spec.md, sections 2.1 and 4, under its names, with the columns design.md adds:
-- revision and updated_at (a client drops rows older than the one it has), timeout_seconds (the
-- database knows every deadline).

CREATE TABLE public.chat_conversations (
  id bigserial PRIMARY KEY,
  user_id uuid NOT NULL REFERENCES auth.users (id) ON DELETE CASCADE,
  title text NOT NULL DEFAULT 'New conversation',
  created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  is_archived boolean NOT NULL DEFAULT false,
  metadata jsonb NOT NULL DEFAULT '{}',
  revision bigint NOT NULL DEFAULT 1
);
CREATE INDEX idx_chat_conversations_user ON public.chat_conversations (user_id, updated_at DESC);

CREATE TABLE public.chat_messages (
  id bigserial PRIMARY KEY,
  conversation_id bigint NOT NULL REFERENCES public.chat_conversations (id) ON DELETE CASCADE,
  role varchar(20) NOT NULL CHECK (role IN ('user', 'assistant', 'system')),
  content text NOT NULL DEFAULT '',
  created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
  metadata jsonb NOT NULL DEFAULT '{}',
  thinking text,
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  revision bigint NOT NULL DEFAULT 1
);
CREATE INDEX idx_chat_messages_conversation ON public.chat_messages (conversation_id, id);
CREATE INDEX idx_chat_messages_updated ON public.chat_messages (updated_at);
-- A message sent again after an unclear failure is found by its request, not written twice.
CREATE UNIQUE INDEX idx_chat_messages_request
  ON public.chat_messages ((metadata ->> 'request')) WHERE metadata ? 'request';

CREATE TABLE public.async_tasks (
  id bigserial PRIMARY KEY,
  task_type varchar(50) NOT NULL,
  workflow_id varchar(100),
  input_data jsonb NOT NULL,
  output_data jsonb DEFAULT '{}',
  status varchar(20) NOT NULL DEFAULT 'pending'
    CHECK (status IN ('pending', 'processing', 'completed', 'failed', 'cancelled', 'timeout')),
  current_step varchar(50),
  status_message text,
  n8n_execution_id varchar(255),
  created_by uuid REFERENCES auth.users (id),
  created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
  processing_started_at timestamptz,
  processing_completed_at timestamptz,
  error_details jsonb,
  metadata jsonb DEFAULT '{}',
  timeout_seconds integer NOT NULL DEFAULT 180 CHECK (timeout_seconds > 0),
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  revision bigint NOT NULL DEFAULT 1
);
CREATE INDEX idx_async_tasks_type ON public.async_tasks (task_type);
CREATE INDEX idx_async_tasks_status ON public.async_tasks (status);
CREATE INDEX idx_async_tasks_user ON public.async_tasks (created_by);
CREATE INDEX idx_async_tasks_n8n_exec ON public.async_tasks (n8n_execution_id);
CREATE INDEX idx_async_tasks_processing ON public.async_tasks (processing_started_at)
  WHERE status IN ('pending', 'processing');
-- The panel, the list and its filters page by id within one user.
CREATE INDEX idx_async_tasks_user_id ON public.async_tasks (created_by, id DESC);
CREATE INDEX idx_async_tasks_user_status ON public.async_tasks (created_by, status, id DESC);
CREATE INDEX idx_async_tasks_user_type ON public.async_tasks (created_by, task_type, id DESC);
CREATE INDEX idx_async_tasks_user_updated ON public.async_tasks (created_by, updated_at);
-- What workers and sweeps look for: the few open tasks among all the finished ones.
CREATE INDEX idx_async_tasks_open ON public.async_tasks (id)
  WHERE status IN ('pending', 'processing');
CREATE INDEX idx_async_tasks_conversation
  ON public.async_tasks ((input_data ->> 'conversation_id'), id) WHERE task_type = 'chat';

ALTER TABLE public.chat_messages
  ADD COLUMN async_task_id bigint REFERENCES public.async_tasks (id) ON DELETE SET NULL;
CREATE INDEX idx_chat_messages_task ON public.chat_messages (async_task_id);

CREATE TABLE public.task_events (
  id bigserial PRIMARY KEY,
  task_id bigint REFERENCES public.async_tasks (id) ON DELETE CASCADE,
  event_type varchar(50) NOT NULL,
  event_data jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX idx_task_events_task_id ON public.task_events (task_id, id);
CREATE INDEX idx_task_events_type ON public.task_events (event_type);
CREATE INDEX idx_task_events_created_at ON public.task_events (created_at);

-- Local workers and their heartbeats: in a table of their own, so that a beat neither raises a
-- task's revision nor wakes a screen.
CREATE TABLE stepline.workers (
  id text PRIMARY KEY,
  started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  heartbeat_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  info jsonb NOT NULL DEFAULT '{}'
);

ALTER PUBLICATION supabase_realtime
  ADD TABLE public.async_tasks, public.task_events, public.chat_messages, public.chat_conversations;
