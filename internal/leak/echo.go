package leak

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"strings"
)

// Echo returns the planted secrets in exchange, a request and its response, as a
// server may repeat them: in every spelling that is searched for. Digests and
// encodings of a secret are repeated only if they are in exchange themselves.
func (d *Detector) Echo(exchange string) string {
	var spellings []string
	for _, secret := range d.Among(exchange) {
		sum := md5.Sum([]byte(secret))
		for _, text := range []string{secret, hex.EncodeToString(sum[:]), base64.StdEncoding.EncodeToString([]byte(secret))} {
			if text != secret && !strings.Contains(exchange, text) {
				continue
			}
			ofText := md5.Sum([]byte(text)) // which nobody sent
			spellings = append(spellings, strings.ToUpper(text))
			for _, spelling := range Spellings(text) {
				if spelling != hex.EncodeToString(ofText[:]) {
					spellings = append(spellings, spelling)
				}
			}
		}
	}
	return strings.Join(spellings, " ")
}
