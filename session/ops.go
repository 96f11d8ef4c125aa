package session

import "github.com/pbxauth/pbx"

// opClaim looks what other processes have brought, and claims the token.
const opClaim pbx.Op = "claim"

// opPeek looks what other processes have brought, out of turn, because the store
// reports a change. It changes nothing else: no plan comes earlier by it.
const opPeek pbx.Op = "peek"

// opLook asks the driver for the fingerprint of its credentials. It sends
// nothing to the PBX.
const opLook pbx.Op = "credentials"

// opCheck is a request without credentials that looks whether the PBX responds.
const opCheck pbx.Op = "check"
