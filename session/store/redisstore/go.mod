// A session store in Redis, apart from the library's own module so that
// importing the library brings no Redis client along.
module github.com/pbxauth/pbx/session/store/redisstore

go 1.26.0

replace github.com/pbxauth/pbx => ../../..

require (
	github.com/pbxauth/pbx v0.2.0
	github.com/redis/go-redis/v9 v9.23.0
)

require (
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	go.uber.org/atomic v1.12.0 // indirect
	golang.org/x/sys v0.50.0 // indirect
)
