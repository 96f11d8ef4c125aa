delete from pbx_store where key in (
  select key from pbx_store where expires < clock_timestamp() - interval '1 hour' limit 500 for update skip locked
)
