package runtel

import (
	"time"

	"github.com/pbxauth/pbx"
)

const keyRefused = "the platform refuses the key: make another one in the PBX's interface"

// keyToken is the key in the form of a token, without an expiry and details.
func (p *PBX) keyToken() *pbx.Token {
	return &pbx.Token{Value: p.key, IssuedAt: time.Now()}
}
