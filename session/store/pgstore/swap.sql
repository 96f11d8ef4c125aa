-- $1 key, $2 revision expected, $3 value (null: remove), $4 time to keep in µs (0: until removed).
-- Returns the new revision (null: no Swap), the revision and value that the statement found, and the time. It may
-- find the expected revision and yet not swap, if another Swap came between.
with cur as (
  select rev, value from pbx_store where key = $1 and value is not null and expires > clock_timestamp()
), put as (
  insert into pbx_store as s (key, rev, value, expires)
  select $1, greatest(floor(extract(epoch from clock_timestamp()) * 1000000)::bigint, $2::bigint + 1), $3::bytea,
    case
      when $3::bytea is null then clock_timestamp() + interval '1 hour' -- so that its revision does not come again
      when $4::bigint = 0 then 'infinity'
      else clock_timestamp() + $4::bigint * interval '1 microsecond'
    end
  where $2::bigint = coalesce((select rev from cur), 0) and ($2::bigint <> 0 or $3::bytea is not null)
  on conflict (key) do update
    set rev = greatest(excluded.rev, s.rev + 1), value = excluded.value, expires = excluded.expires
    where case when s.value is not null and s.expires > clock_timestamp() then s.rev else 0 end = $2::bigint
  returning rev
)
select (select rev from put), coalesce((select rev from cur), 0), (select value from cur), clock_timestamp(), pg_is_in_recovery()
