// Tests against servers that were not written in this project, apart from the
// library's own module so that its tests need nothing but Go.
module github.com/pbxauth/pbx/conformance/realservers

go 1.26.0

replace github.com/pbxauth/pbx => ../..

require (
	github.com/google/go-cmp v0.7.0
	github.com/pbxauth/pbx v0.0.0-00010101000000-000000000000
	github.com/rs/zerolog v1.35.1
)

require (
	github.com/hashicorp/go-cleanhttp v0.5.2 // indirect
	github.com/hashicorp/go-retryablehttp v0.7.8 // indirect
	github.com/mattn/go-colorable v0.1.14 // indirect
	github.com/mattn/go-isatty v0.0.20 // indirect
	golang.org/x/sync v0.25.0 // indirect
	golang.org/x/sys v0.50.0 // indirect
)
