create table if not exists pbx_store (
  key     text collate "C" primary key,
  rev     bigint not null,
  value   bytea,                 -- null: removed
  expires timestamptz not null   -- infinity: kept until removed
) with (fillfactor = 80);
create index if not exists pbx_store_expires on pbx_store (expires) where expires < 'infinity';
comment on table pbx_store is 'pbx-store 1';
