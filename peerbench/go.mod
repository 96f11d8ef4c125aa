// What a session is compared with, apart from the library's own module so that
// importing the library brings none of it along.
module github.com/pbxauth/pbx/peerbench

go 1.26.0

replace github.com/pbxauth/pbx => ..

require (
	github.com/aws/aws-sdk-go-v2 v1.47.7
	github.com/pbxauth/pbx v0.0.0-00010101000000-000000000000
	golang.org/x/oauth2 v0.36.0
)

require (
	github.com/aws/smithy-go v1.28.8 // indirect
	github.com/mattn/go-colorable v0.1.14 // indirect
	github.com/mattn/go-isatty v0.0.20 // indirect
	github.com/rs/zerolog v1.35.1 // indirect
	golang.org/x/sync v0.25.0 // indirect
	golang.org/x/sys v0.50.0 // indirect
)
