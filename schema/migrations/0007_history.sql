-- A long history: which tasks a list is made of, in any order, and those that say some words.
-- Under row security an index cannot serve a condition that might leak, such as a search; so
-- task_ids sees every task, and narrows to the caller's by itself.

-- `since:` is turned into the lowest id it lets through, by the first of these.
CREATE INDEX idx_async_tasks_user_created ON public.async_tasks (created_by, created_at)
  INCLUDE (id);
CREATE INDEX idx_async_tasks_user_type_status
  ON public.async_tasks (created_by, task_type, status, id DESC);
DROP INDEX public.idx_async_tasks_user_type;

-- What a text is found by: every three characters that follow each other in a word, the ends of
-- words also alone, so that a word of one or two characters is a prefix of some of these. Then its
-- owner, and whether the text is too long to be all in it: such a text is read each time. The two
-- begin with a space, as no other does. `said` is in lower case.
CREATE FUNCTION stepline.task_grams(owner uuid, said text) RETURNS tsvector
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  -- Taken apart once: substr() counts its way from the start of the text each time.
  SELECT array_to_tsvector(
    array_agg(CASE WHEN b = ' ' THEN a WHEN c = ' ' THEN a || b ELSE a || b || c END)
      FILTER (WHERE a <> ' ')
    || (' ' || owner) || CASE WHEN length(said) > 10000 THEN ARRAY[' long'] END)
  FROM string_to_array(translate(left(said, 10000), E'\t\n\r', '   ') || '  ', NULL) AS letters,
    unnest(letters, letters[2:], letters[3:]) AS following (a, b, c)
$$;

-- Only final tasks, whose text never changes again: no step of a running one pays for it. The
-- open ones are few, and are read. The list of what is not yet sorted in is short, because every
-- search reads it and some task's end has to empty it.
CREATE INDEX idx_async_tasks_said ON public.async_tasks USING gin (
  stepline.task_grams(created_by, lower(task_type || E'\n' || coalesce(current_step, '') || E'\n'
    || coalesce(status_message, '') || E'\n' || input_data::text))
) WITH (gin_pending_list_limit = 512)
  WHERE status IN ('completed', 'failed', 'cancelled', 'timeout');
-- ANALYZE would take thousands of texts apart, and learn nothing that is asked for.
ALTER INDEX public.idx_async_tasks_said ALTER COLUMN 1 SET STATISTICS 0;

-- The search for `words`, each of which must occur.
CREATE FUNCTION stepline.grams_query(owner uuid, words text[]) RETURNS tsquery
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT format(''' %s'' & (%s | '' long'')', owner, string_agg(
    '''' || replace(replace(gram, '\', '\\'), '''', '''''') || ''''
    || CASE WHEN length(gram) < 3 THEN ':*' ELSE '' END, ' & '))::tsquery
  FROM unnest(words) AS word, generate_series(1, greatest(length(word) - 2, 1)) AS place,
    substr(word, place, 3) AS gram
$$;

-- The ids of the caller's tasks, in the order of a list: all of them, or the first `most`.
-- sort: id (newest first), type, status (what needs a look first) or elapsed (longest first);
-- within equal ones, newest first. words: each must occur in the type, the step, the status
-- message or the input, in whatever case.
CREATE FUNCTION public.task_ids(
  statuses text[] DEFAULT NULL, types text[] DEFAULT NULL, since timestamptz DEFAULT NULL,
  conversation bigint DEFAULT NULL, words text DEFAULT NULL, sort text DEFAULT 'id',
  reverse boolean DEFAULT false, most integer DEFAULT NULL
) RETURNS bigint[]
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
-- The same plans for everybody: also where the table is new or all theirs, or not vacuumed yet.
SET enable_seqscan = off SET random_page_cost = 1 SET work_mem = '32MB' AS $$
DECLARE
  owner uuid := stepline.require_user();
  first_id bigint;
  said_words text[] := ARRAY(
    SELECT DISTINCT word FROM regexp_split_to_table(lower(task_ids.words), '[ \t\n\r]+') AS word
    WHERE word <> '');
  patterns text[] := ARRAY(
    SELECT '%' || replace(replace(replace(word, '\', '\\'), '%', '\%'), '_', '\_') || '%'
    FROM unnest(said_words) AS word);
  searching boolean := said_words <> '{}';
  asked tsquery;
  -- As in the index.
  said CONSTANT text := $said$lower(t.task_type || E'\n' || coalesce(t.current_step, '') || E'\n'
    || coalesce(t.status_message, '') || E'\n' || t.input_data::text)$said$;
  every CONSTANT text[] := '{processing,pending,failed,timeout,cancelled,completed}';
  columns CONSTANT text :=
    't.id, t.task_type, t.status, t.processing_started_at, t.processing_completed_at';
  wanted text := 't.created_by = $1';
  lists text := '(VALUES (1)) AS one';
  listed text := '';
  rising CONSTANT text := CASE WHEN task_ids.reverse THEN ' DESC, ' ELSE ', ' END;
  falling CONSTANT text := CASE WHEN task_ids.reverse THEN ', ' ELSE ' DESC, ' END;
  ordered text;
  statement text;
  found bigint[];
BEGIN
  IF task_ids.sort NOT IN ('id', 'type', 'status', 'elapsed') OR task_ids.most < 1
     OR length(task_ids.words) > 1000 OR cardinality(task_ids.statuses) > 100
     OR cardinality(task_ids.types) > 100 THEN
    RAISE EXCEPTION 'this is too much to look for, or no order there is' USING ERRCODE = 'SL004';
  END IF;
  ordered := CASE task_ids.sort
    WHEN 'id' THEN CASE WHEN task_ids.reverse THEN 't.id' ELSE 't.id DESC' END
    WHEN 'type' THEN 't.task_type' || rising || 't.id DESC'
    WHEN 'status' THEN format('array_position(%L, t.status::text)', every) || rising || 't.id DESC'
    ELSE 'greatest(coalesce(coalesce(t.processing_completed_at, statement_timestamp())'
      || ' - t.processing_started_at, ''0''), ''0'')' || falling || 't.id DESC'
    END;
  IF searching THEN
    asked := stepline.grams_query(owner, said_words);
  END IF;
  IF task_ids.since IS NOT NULL THEN
    SELECT min(t.id) INTO first_id FROM (
      SELECT id FROM public.async_tasks WHERE created_by = owner AND created_at >= task_ids.since
      OFFSET 0) AS t;
    wanted := wanted || ' AND t.id >= $6 AND t.created_at >= $4';
  END IF;
  IF task_ids.conversation IS NOT NULL THEN
    wanted := wanted || ' AND t.task_type = ''chat'''
      || ' AND t.input_data ->> ''conversation_id'' = $5::text';
  END IF;

  IF task_ids.most IS NOT NULL AND task_ids.sort = 'id' THEN
    -- The first of each status and type are read from an index in order, and no others. A word
    -- that many tasks say is found in a few of them; what is found in none is looked up below.
    IF task_ids.statuses IS NOT NULL OR task_ids.types IS NOT NULL THEN
      lists := lists || ', (SELECT DISTINCT unnest($2)) AS s (status)';
      listed := listed || ' AND t.status = s.status';
    END IF;
    IF task_ids.types IS NOT NULL THEN
      lists := lists || ', (SELECT DISTINCT unnest($3)) AS y (type)';
      listed := listed || ' AND t.task_type = y.type';
    END IF;
    statement := format(
      'SELECT ARRAY(SELECT t.id FROM %s, LATERAL (SELECT t.* FROM public.async_tasks t'
      ' WHERE %s ORDER BY %s LIMIT $9) AS t WHERE %s ORDER BY %s LIMIT $10)',
      lists, wanted || listed, ordered,
      CASE WHEN searching THEN said || ' LIKE ALL ($7)' ELSE 'true' END, ordered);
    EXECUTE statement INTO found USING owner, coalesce(task_ids.statuses, every),
      task_ids.types, task_ids.since, task_ids.conversation, first_id, patterns, asked,
      CASE WHEN searching THEN 2000 ELSE task_ids.most END, task_ids.most;
    IF NOT searching OR cardinality(found) = task_ids.most THEN
      RETURN found;
    END IF;
  END IF;

  IF task_ids.statuses IS NOT NULL THEN
    wanted := wanted || ' AND t.status = ANY ($2)';
  END IF;
  IF task_ids.types IS NOT NULL THEN
    wanted := wanted || ' AND t.task_type = ANY ($3)';
  END IF;
  statement := format('SELECT %s FROM public.async_tasks t WHERE %s', columns, wanted);
  IF searching THEN
    statement := statement || format(' AND %s LIKE ALL ($7)', said);
    statement := statement || ' AND t.status IN (''pending'', ''processing'') UNION ALL '
      || statement || ' AND t.status IN (''completed'', ''failed'', ''cancelled'', ''timeout'')'
      || format(' AND stepline.task_grams(t.created_by, %s) @@ $8', said);
  END IF;
  EXECUTE format('SELECT ARRAY(SELECT t.id FROM (%s) AS t ORDER BY %s LIMIT $9)',
                 statement, ordered)
  INTO found USING owner, task_ids.statuses, task_ids.types, task_ids.since,
    task_ids.conversation, first_id, patterns, asked, task_ids.most;
  RETURN found;
END
$$;

REVOKE ALL ON FUNCTION stepline.task_grams(uuid, text), stepline.grams_query(uuid, text[])
  FROM PUBLIC;
-- An index is kept up by whoever ends a task.
GRANT EXECUTE ON FUNCTION stepline.task_grams(uuid, text) TO stepline_worker, service_role;
REVOKE ALL ON FUNCTION
  public.task_ids(text[], text[], timestamptz, bigint, text, text, boolean, integer)
FROM PUBLIC, anon, authenticated, service_role, stepline_worker;
GRANT EXECUTE ON FUNCTION
  public.task_ids(text[], text[], timestamptz, bigint, text, text, boolean, integer)
TO authenticated;
