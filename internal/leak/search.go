package leak

import (
	"crypto/md5"
	"encoding/hex"
	"strings"
)

// minShown is how much of a secret gives it away, in bytes: its beginning as
// well as the whole.
const minShown = 12

// minKey is how many bytes of a spelling are hashed.
const minKey = 4

// search finds the spellings of many secrets in one pass over a text: a week of
// renewals is thousands of secrets, and as many texts.
type search struct {
	byKey  map[string][]spelling // by the first minKey bytes
	begins [1 << 10]uint64       // a bit for each two that begin one, to pass over most of a text fast
	short  []spelling            // those that have less than minKey
}

type spelling struct{ secret, text, name string }

func newSearch(secrets map[string]string) *search {
	s := &search{byKey: map[string][]spelling{}}
	for secret, name := range secrets {
		for _, text := range searched(secret) {
			known := spelling{secret, text, name}
			if len(text) < minKey {
				s.short = append(s.short, known)
				continue
			}
			s.byKey[text[:minKey]] = append(s.byKey[text[:minKey]], known)
			two := firstTwo(text, 0)
			s.begins[two/64] |= 1 << (two % 64)
		}
	}
	return s
}

// searched are the spellings of a secret's beginning, in lower case, and of its
// MD5.
func searched(secret string) []string {
	begin := secret
	if len(begin) > minShown {
		begin = strings.ToValidUTF8(begin[:minShown], "")
	}
	sum := md5.Sum([]byte(secret))
	all := append(Spellings(begin), hex.EncodeToString(sum[:]))
	for i := range all {
		all[i] = strings.ToLower(all[i])
	}
	return all
}

// each reports the secrets that show in text. from and to are offsets in the
// text in lower case.
func (s *search) each(text string, report func(found spelling, from, to int)) {
	text = strings.ToLower(text)
	for at := 0; at+minKey <= len(text); at++ {
		if two := firstTwo(text, at); s.begins[two/64]&(1<<(two%64)) == 0 {
			continue
		}
		for _, known := range s.byKey[text[at:at+minKey]] {
			if strings.HasPrefix(text[at:], known.text) {
				report(known, at, at+len(known.text))
			}
		}
	}
	for _, known := range s.short {
		if at := strings.Index(text, known.text); at >= 0 {
			report(known, at, at+len(known.text))
		}
	}
}

func firstTwo(text string, at int) uint16 { return uint16(text[at])<<8 | uint16(text[at+1]) }
