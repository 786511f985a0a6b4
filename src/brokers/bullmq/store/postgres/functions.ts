/** What PostgreSQL does in one step: functions of our own, which call BullMQ's. */
import { SCHEDULES_TABLE } from './postgres-schedules.ts'

/**
 * Tables and functions, made once per database. One transaction at a time may make them: two processes that start together
 * would otherwise trip over each other.
 *
 * Whoever changes a lock holds it until the commit, so that the order in a lock is the order of commits. All locks of a step
 * are held from its beginning, in the order of their names, so that no two steps wait for each other; rows come after them.
 */
export const DEFINITIONS = `
select pg_advisory_xact_lock(4021771);
create schema if not exists aftertask;
create table if not exists aftertask.lines (
  line text not null, n bigserial, member text not null, since double precision not null,
  primary key (line, member));
-- Jobs that were set aside, since whoever fetched them does not have their task: best first for each task.
create table if not exists aftertask.aside (
  queue text not null, task text not null, priority integer not null, seq bigint not null, id text not null,
  primary key (queue, task, priority, seq, id));
create table if not exists aftertask.stopped_lines (line text primary key, since double precision not null);
${SCHEDULES_TABLE};

create or replace function aftertask.hold(p_locks text[]) returns void language plpgsql as $$
declare v_lock text;
begin
  for v_lock in select distinct l from unnest(p_locks) l where l is not null order by l loop
    perform pg_advisory_xact_lock(hashtextextended(v_lock, 4021771));
  end loop;
end $$;

-- Whether the head of a lock is over, or never came to its queue.
create or replace function aftertask.is_gone(p_member text, p_since float8, p_now float8) returns boolean
language plpgsql as $$
declare v_state text;
begin
  select state::text into v_state from job
    where queue = split_part(p_member, '|', 1) and id = substr(p_member, position('|' in p_member) + 1);
  return case when v_state is null then p_now - p_since > 30000 else v_state in ('completed', 'failed') end;
end $$;

-- Lets a job join a lock that is held, unless it is over. Whoever looks takes out a head that is gone.
create or replace function aftertask.join_lock(p_lock text, p_member text, p_now float8) returns text
language plpgsql as $$
declare v_head record;
begin
  if exists (select from aftertask.stopped_lines where line = p_lock) then return 'stopped'; end if;
  if aftertask.is_gone(p_member, p_now, p_now) then return 'first'; end if;
  insert into aftertask.lines (line, member, since) values (p_lock, p_member, p_now) on conflict do nothing;
  loop
    select member, since into v_head from aftertask.lines where line = p_lock order by n limit 1;
    if v_head.member = p_member then return 'first'; end if;
    if not aftertask.is_gone(v_head.member, v_head.since, p_now) then return 'behind'; end if;
    delete from aftertask.lines where line = p_lock and member = v_head.member;
  end loop;
end $$;

-- Lets jobs join their locks, each one after the other, as far as it comes. A job whose token is given has to lie under it.
create or replace function aftertask.enter(p_queues text[], p_ids text[], p_tokens text[], p_lines text[], p_keys text[],
  p_now float8) returns setof text language plpgsql as $$
declare v_place text; v_lock text;
begin
  perform aftertask.hold(p_lines || p_keys);
  for i in 1..cardinality(p_ids) loop
    v_place := 'first';
    if p_tokens[i] <> '' and not exists (
      select from job where queue = p_queues[i] and id = p_ids[i] and state = 'active' and lock_token = p_tokens[i]
    ) then v_place := 'lost'; end if;
    foreach v_lock in array array[p_lines[i], p_keys[i]] loop
      if v_lock is not null and v_place = 'first' then
        v_place := aftertask.join_lock(v_lock, p_queues[i] || '|' || p_ids[i], p_now);
      end if;
    end loop;
    return next v_place;
  end loop;
end $$;

-- BullMQ's own promote looks at the state and then writes, and a worker may take the job in between: it would run twice.
-- With its row locked first, nobody can.
create or replace function aftertask.promote(p_queue text, p_id text) returns void language plpgsql as $$
begin
  perform from job where queue = p_queue and id = p_id for update;
  perform promote(p_queue, p_id);
end $$;

-- Leaves a lock that is held, and lets the next job come forward. It may be on its way, or running already. A job that was
-- first before may wait for its time.
create or replace function aftertask.leave(p_lock text, p_member text, p_stop boolean, p_now float8) returns void
language plpgsql as $$
declare v_head text;
begin
  select member into v_head from aftertask.lines where line = p_lock order by n limit 1;
  delete from aftertask.lines where line = p_lock and member = p_member;
  if p_stop then insert into aftertask.stopped_lines values (p_lock, p_now) on conflict do nothing; end if;
  if v_head is distinct from p_member then return; end if;
  select member into v_head from aftertask.lines where line = p_lock order by n limit 1;
  if found then
    perform aftertask.promote(split_part(v_head, '|', 1), substr(v_head, position('|' in v_head) + 1));
  end if;
end $$;

-- Sets a job aside that lies under a token, and others of its task that wait. False when it does not lie there. BullMQ
-- fetches nothing from its state waiting-children, and nothing here has children.
create or replace function aftertask.set_aside(p_queue text, p_id text, p_token text, p_most integer) returns boolean
language plpgsql as $$
declare v_job job;
begin
  update job set state = 'waiting-children', lock_token = null, locked_until_ms = null, stalled_marked = false
    where queue = p_queue and id = p_id and state = 'active' and lock_token = p_token returning * into v_job;
  if not found then return false; end if;
  insert into aftertask.aside values (p_queue, v_job.name, v_job.priority, v_job.seq, p_id) on conflict do nothing;
  with first as (
    select f.id from (select id from job where queue = p_queue and state = 'waiting' order by priority, seq limit p_most) f
  ), swept as (
    select j.id from job j where j.queue = p_queue and j.id in (select id from first) and j.state = 'waiting'
      and j.name = v_job.name for update skip locked
  ), moved as (
    update job j set state = 'waiting-children' from swept where j.queue = p_queue and j.id = swept.id
      returning j.priority, j.seq, j.id
  )
  insert into aftertask.aside select p_queue, v_job.name, m.priority, m.seq, m.id from moved m on conflict do nothing;
  return true;
end $$;

-- Claims jobs of some tasks that were set aside, one for each token. One that has been ended since is not there any more.
create or replace function aftertask.claim_aside(p_queue text, p_tasks text[], p_tokens text[], p_lease bigint, p_name text)
returns setof job language plpgsql as $$
declare v_pick record; v_job job; v_taken integer := 0; v_now bigint;
begin
  v_now := (extract(epoch from clock_timestamp()) * 1000)::bigint;
  for v_pick in select a.* from aftertask.aside a where a.queue = p_queue and a.task = any(p_tasks)
    order by a.priority, a.seq limit cardinality(p_tokens) for update skip locked
  loop
    delete from aftertask.aside a where a.queue = v_pick.queue and a.task = v_pick.task
      and a.priority = v_pick.priority and a.seq = v_pick.seq and a.id = v_pick.id;
    update job set state = 'active', lock_token = p_tokens[v_taken + 1], locked_until_ms = v_now + p_lease,
      processed_at_ms = v_now, processed_by = p_name, attempts_started = attempts_started + 1
      where queue = p_queue and id = v_pick.id and state = 'waiting-children' returning * into v_job;
    if found then
      v_taken := v_taken + 1;
      return next v_job;
    end if;
  end loop;
end $$;

-- Ends jobs, each with the next steps of its locks, and claims another where that is asked for. Old jobs are removed once,
-- with the last of them.
create or replace function aftertask.end_many(p_queue text, p_ids text[], p_tokens text[], p_values text[],
  p_stacktraces text[], p_lines text[], p_keys text[], p_stops boolean[], p_fetches boolean[], p_now bigint,
  p_remove_all boolean, p_age bigint, p_count integer, p_lease bigint, p_name text) returns setof job
language plpgsql as $$
declare v_age bigint; v_count integer; v_member text;
begin
  perform aftertask.hold(p_lines || p_keys);
  for i in 1..cardinality(p_ids) loop
    if i = cardinality(p_ids) then v_age := p_age; v_count := p_count; end if;
    if p_stacktraces[i] is null then
      perform move_to_completed(p_queue, p_ids[i], p_tokens[i], p_values[i]::jsonb, p_now, p_remove_all, v_age, v_count);
    else
      perform move_to_failed(p_queue, p_ids[i], p_tokens[i], p_values[i], p_stacktraces[i]::jsonb, p_now, p_remove_all,
        v_age, v_count);
    end if;
    v_member := p_queue || '|' || p_ids[i];
    if p_lines[i] is not null then perform aftertask.leave(p_lines[i], v_member, p_stops[i], p_now); end if;
    if p_keys[i] is not null then perform aftertask.leave(p_keys[i], v_member, false, p_now); end if;
    if p_fetches[i] then
      return query select * from move_to_active(p_queue, p_tokens[i], p_lease, p_now, p_name, null, null);
    end if;
  end loop;
end $$;

-- Takes a job that no process runs, and ends it. The arguments are those of end_many, with arrays of one.
create or replace function aftertask.end_waiting(p_queue text, p_ids text[], p_tokens text[], p_values text[],
  p_stacktraces text[], p_lines text[], p_keys text[], p_stops boolean[], p_fetches boolean[], p_now bigint,
  p_remove_all boolean, p_age bigint, p_count integer, p_lease bigint, p_name text) returns boolean
language plpgsql as $$
begin
  perform aftertask.hold(p_lines || p_keys);
  update job set state = 'active', lock_token = p_tokens[1], locked_until_ms = p_now + p_lease
    where queue = p_queue and id = p_ids[1] and state not in ('active', 'completed', 'failed');
  if not found then return false; end if;
  perform aftertask.end_many(p_queue, p_ids, p_tokens, p_values, p_stacktraces, p_lines, p_keys, p_stops, p_fetches, p_now,
    p_remove_all, p_age, p_count, p_lease, p_name);
  return true;
end $$`

/** What is used of BullMQ's functions: their names, and how they are called. */
const USED: Readonly<Record<string, string>> = {
  move_to_active: 'text, text, bigint, bigint, text, integer, bigint',
  move_to_completed: 'text, text, text, jsonb, bigint, boolean, bigint, integer',
  move_to_failed: 'text, text, text, text, jsonb, bigint, boolean, bigint, integer',
  promote: 'text, text',
}

/** Which of BullMQ's functions are not as they are used here: a row for each. */
export const UNKNOWN_FUNCTIONS = `select u.name from (values ${Object.entries(USED)
  .map(([name, types]) => `('${name}', '${types}')`)
  .join(', ')}) as u (name, types)
  where not exists (select from pg_proc p join pg_namespace n on n.oid = p.pronamespace
    where n.nspname = current_schema() and p.proname = u.name
      and (select string_agg(format_type(t, null), ', ' order by i)
           from unnest(p.proargtypes::oid[]) with ordinality as a (t, i)) = u.types)`
