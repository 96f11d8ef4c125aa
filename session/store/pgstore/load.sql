select coalesce(c.rev, 0), c.value, clock_timestamp(), pg_is_in_recovery()
from (select $1::text as key) k
left join pbx_store c on c.key = k.key and c.value is not null and c.expires > clock_timestamp()
