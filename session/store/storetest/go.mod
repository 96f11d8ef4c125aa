// The rules of session/store as tests, apart from the library's own module so
// that importing the library brings none of what they need along.
module github.com/pbxauth/pbx/session/store/storetest

go 1.26.0

replace github.com/pbxauth/pbx => ../../..

require (
	github.com/anishathalye/porcupine v1.3.1
	github.com/pbxauth/pbx v0.2.0
)

require golang.org/x/sys v0.50.0
