// Tests of sessions in several real processes over real servers, apart from the
// modules that they test.
module github.com/pbxauth/pbx/session/store/processtest

go 1.26.0

replace (
	github.com/pbxauth/pbx => ../../..
	github.com/pbxauth/pbx/session/store/enginetest => ../enginetest
	github.com/pbxauth/pbx/session/store/pgstore => ../pgstore
	github.com/pbxauth/pbx/session/store/redisstore => ../redisstore
	github.com/pbxauth/pbx/session/store/storetest => ../storetest
)

require (
	github.com/jackc/pgx/v5 v5.12.0
	github.com/pbxauth/pbx v0.2.0
	github.com/pbxauth/pbx/session/store/enginetest v0.0.0-00010101000000-000000000000
	github.com/pbxauth/pbx/session/store/pgstore v0.0.0-00010101000000-000000000000
	github.com/pbxauth/pbx/session/store/redisstore v0.0.0-00010101000000-000000000000
	github.com/redis/go-redis/v9 v9.23.0
	github.com/rs/zerolog v1.35.1
)

require (
	github.com/Shopify/toxiproxy/v2 v2.5.0 // indirect
	github.com/beorn7/perks v1.0.1 // indirect
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/golang/protobuf v1.5.2 // indirect
	github.com/gorilla/mux v1.8.0 // indirect
	github.com/hashicorp/go-cleanhttp v0.5.2 // indirect
	github.com/hashicorp/go-retryablehttp v0.7.8 // indirect
	github.com/jackc/pgpassfile v1.0.0 // indirect
	github.com/jackc/pgservicefile v0.0.0-20240606120523-5a60cdf6a761 // indirect
	github.com/jackc/puddle/v2 v2.2.3 // indirect
	github.com/mattn/go-colorable v0.1.14 // indirect
	github.com/mattn/go-isatty v0.0.20 // indirect
	github.com/matttproud/golang_protobuf_extensions v1.0.1 // indirect
	github.com/prometheus/client_golang v1.13.0 // indirect
	github.com/prometheus/client_model v0.2.0 // indirect
	github.com/prometheus/common v0.37.0 // indirect
	github.com/prometheus/procfs v0.8.0 // indirect
	github.com/rs/xid v1.6.0 // indirect
	go.uber.org/atomic v1.12.0 // indirect
	golang.org/x/sync v0.25.0 // indirect
	golang.org/x/sys v0.50.0 // indirect
	golang.org/x/text v0.41.0 // indirect
	google.golang.org/protobuf v1.28.1 // indirect
	gopkg.in/tomb.v1 v1.0.0-20141024135613-dd632973f1e7 // indirect
)
