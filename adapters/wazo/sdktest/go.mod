// A test against the vendor's own client, apart from the library's module so that
// its tests need nothing but Go.
module github.com/pbxauth/pbx/adapters/wazo/sdktest

go 1.26.0

replace github.com/pbxauth/pbx => ../../..

require github.com/pbxauth/pbx v0.0.0-00010101000000-000000000000
