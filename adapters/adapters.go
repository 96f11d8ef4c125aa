// Package adapters registers every driver of this module. Import it for its
// side effect:
//
//	import _ "github.com/pbxauth/pbx/adapters"
//
// A program that needs one brand only imports that brand's package instead.
package adapters

import (
	_ "github.com/pbxauth/pbx/adapters/asterisk"
	_ "github.com/pbxauth/pbx/adapters/freepbx"
	_ "github.com/pbxauth/pbx/adapters/grandstream"
	_ "github.com/pbxauth/pbx/adapters/mikopbx"
	_ "github.com/pbxauth/pbx/adapters/openvox"
	_ "github.com/pbxauth/pbx/adapters/runtel"
	_ "github.com/pbxauth/pbx/adapters/starface"
	_ "github.com/pbxauth/pbx/adapters/threecx"
	_ "github.com/pbxauth/pbx/adapters/uis"
	_ "github.com/pbxauth/pbx/adapters/wazo"
	_ "github.com/pbxauth/pbx/adapters/yeastar"
	_ "github.com/pbxauth/pbx/adapters/yeastarp"
)
