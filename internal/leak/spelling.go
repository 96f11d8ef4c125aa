package leak

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"slices"
	"strings"
)

// Spellings returns the ways in which programs write secret, in upper and lower
// case as they do. Its MD5, which several brands send instead of a password, is
// one of them.
func Spellings(secret string) []string {
	octets := []byte(secret)
	sum := md5.Sum(octets)
	decimal := strings.Trim(fmt.Sprint(octets), "[]")
	quoted, _ := json.Marshal(secret) // a string always marshals
	inJSON := string(quoted[1 : len(quoted)-1])
	inGo, inASCII := fmt.Sprintf("%q", secret), fmt.Sprintf("%+q", secret)
	inURL := url.QueryEscape(secret)
	all := []string{
		secret,
		inJSON,
		strings.ReplaceAll(inJSON, "/", `\/`), // PHP
		inGo[1 : len(inGo)-1],
		inASCII[1 : len(inASCII)-1],
		inURL,
		strings.ReplaceAll(inURL, "+", "%20"),
		url.PathEscape(secret),
		html.EscapeString(secret),
		htmlNames.Replace(secret),
		slashes.Replace(secret), // PHP's addslashes, Python's repr
		hex.EncodeToString(octets),
		fmt.Sprintf("% x", octets),
		decimal,
		strings.ReplaceAll(decimal, " ", ","),
		strings.Trim(fmt.Sprintf("%U", []rune(secret)), "[]"),
		hex.EncodeToString(sum[:]),
	}
	// In base64 a text has three forms, by what stands before it, such as the
	// user name in HTTP's Basic.
	for before := range 3 {
		from := (before*8 + 5) / 6           // the characters before hold other bits too
		to := (before + len(octets)) * 8 / 6 // and so do those from here on
		if to-from < 2*minKey {              // so few characters show by chance
			continue
		}
		padded := append(make([]byte, before), octets...)
		all = append(all, base64.RawStdEncoding.EncodeToString(padded)[from:to], base64.RawURLEncoding.EncodeToString(padded)[from:to])
	}
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(s string) bool { return s == "" })
}

var (
	htmlNames = strings.NewReplacer(`"`, "&quot;", "&", "&amp;", "<", "&lt;", ">", "&gt;", "'", "&apos;")
	slashes   = strings.NewReplacer(`\`, `\\`, `'`, `\'`, `"`, `\"`)
)
