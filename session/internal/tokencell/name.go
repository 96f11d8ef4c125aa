package tokencell

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// A store's keys have at most maxKey bytes. maxName leaves room for the prefix, the kind
// and the hash.
const (
	maxKey  = 200
	maxName = 96
)

// SessionKey is the store's key for the cell of a session. Another URL or
// account is another cell, so that a token never goes to another PBX.
func SessionKey(prefix, name, url, account string) string {
	return fit("s/" + join(prefix) + escape(name) + "/" + hash(url+"\x00"+account))
}

// SessionName is the name of the session whose cell SessionKey gives that key, or its
// ShortName, if short is set. ok is false if the key is another one's.
func SessionName(prefix, key string) (name string, short, ok bool) {
	rest, ours := strings.CutPrefix(key, "s/"+join(prefix))
	escaped, sum, _ := strings.Cut(rest, "/")
	if !ours || len(sum) != len(hash("")) || strings.Contains(sum, "/") {
		return "", false, false
	}
	if len(escaped) >= maxName {
		return escaped, true, true
	}
	name, ok = unescape(escaped)
	return name, false, ok
}

// ShortName is what keys show of a name that is too long for them. ok is false if they
// show all of it.
func ShortName(name string) (short string, ok bool) {
	short = escape(name)
	return short, len(short) >= maxName
}

// unescape is the inverse of escape. ok is false if the text may have been shortened.
func unescape(escaped string) (s string, ok bool) {
	if len(escaped) >= maxName {
		return "", false
	}
	var b strings.Builder
	for i := 0; i < len(escaped); i++ {
		if escaped[i] != '_' {
			b.WriteByte(escaped[i])
			continue
		}
		c, err := hex.DecodeString(escaped[i+1 : min(i+3, len(escaped))])
		if err != nil || len(c) != 1 {
			return "", false
		}
		b.Write(c)
		i += 2
	}
	return b.String(), escape(b.String()) == escaped
}

// HostKey is the store's key for the ledger of a host, as it sees the clients
// behind egress.
func HostKey(prefix, egress, host string) string {
	return fit("h/" + join(prefix) + join(egress) + escape(host))
}

// RefusalsKey is the store's key for the tokens that the PBXs at a host have refused
// lately.
func RefusalsKey(prefix, egress, host string) string {
	return fit("t/" + join(prefix) + join(egress) + escape(host))
}

// RefusalsHost is the host whose refusals have that key. ok is false if the key is
// another one's or does not show the host.
func RefusalsHost(prefix, egress, key string) (host string, ok bool) {
	escaped, ours := strings.CutPrefix(key, "t/"+join(prefix)+join(egress))
	if !ours || strings.Contains(escaped, "/") {
		return "", false
	}
	return unescape(escaped)
}

// PrintKey is the store's key for the key of fingerprints.
func PrintKey(prefix string) string { return "k/" + join(prefix) + "fingerprints" }

func join(part string) string {
	if part == "" {
		return ""
	}
	return escape(part) + "/"
}

// fit shortens a key that is too long, as of a prefix of many underscores, which are
// escaped. Different keys stay different.
func fit(key string) string {
	if len(key) <= maxKey {
		return key
	}
	return key[:maxKey-17] + "_" + hash(key)
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:8])
}

// escape writes any text in the characters that keys may have. Different texts
// stay different.
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '.', c == ':', c == '-':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "_%02x", c)
		}
	}
	if b.Len() <= maxName {
		return b.String()
	}
	return b.String()[:maxName-17] + "_" + hash(s)
}
