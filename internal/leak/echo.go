package leak

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"strings"
)

// Echo is Echoes in one text.
func (d *Detector) Echo(exchange string) string { return strings.Join(d.Echoes(exchange), " ") }

// Echoes returns the planted secrets in exchange, a request and its response, as a
// server may repeat them: one text for each secret, in every spelling that is
// searched for. Digests and encodings of a secret are repeated only if they are in
// exchange themselves.
func (d *Detector) Echoes(exchange string) []string {
	var echoes []string
	for _, secret := range d.Among(exchange) {
		var spellings []string
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
		echoes = append(echoes, strings.Join(spellings, " "))
	}
	return echoes
}
