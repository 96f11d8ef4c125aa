// A session store in PostgreSQL, apart from the library's own module so that
// importing the library brings no PostgreSQL client along.
module github.com/pbxauth/pbx/session/store/pgstore

go 1.26.0

replace github.com/pbxauth/pbx => ../../..

require (
	github.com/jackc/pgx/v5 v5.12.0
	github.com/pbxauth/pbx v0.2.0
)

require (
	github.com/jackc/pgpassfile v1.0.0 // indirect
	github.com/jackc/pgservicefile v0.0.0-20240606120523-5a60cdf6a761 // indirect
	github.com/jackc/puddle/v2 v2.2.3 // indirect
	golang.org/x/sync v0.25.0 // indirect
	golang.org/x/sys v0.50.0 // indirect
	golang.org/x/text v0.41.0 // indirect
)
