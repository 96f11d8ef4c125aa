package wire

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"unicode"
	"weak"

	"github.com/pbxauth/pbx"
)

// profile is one way of trusting certificates. It is comparable, so that all PBXs
// that share it share their connections too.
type profile struct {
	pool       *x509.CertPool // nil: the system's
	pin        string
	serverName string
	minVersion uint16
	insecure   bool
}

// config is what crypto/tls needs to know of a profile.
func (p profile) config(sessions tls.ClientSessionCache) *tls.Config {
	config := &tls.Config{
		ServerName:         p.serverName,
		MinVersion:         p.minVersion,
		InsecureSkipVerify: p.insecure || p.pin != "" && p.pool == nil, // the pin replaces the chain only where no authority is given
		RootCAs:            p.pool,
		ClientSessionCache: sessions,
	}
	if p.pin != "" {
		// VerifyConnection, unlike VerifyPeerCertificate, also runs on resumption.
		config.VerifyConnection = func(state tls.ConnectionState) error {
			if got := pbx.Pin(state.PeerCertificates[0]); got != p.pin {
				return &pinError{want: p.pin, got: got}
			}
			return nil
		}
	}
	return config
}

// single reports whether one PBX alone is likely to have this profile.
func (p profile) single() bool { return p.pin != "" || p.serverName != "" }

// profileOf checks the settings. A profile with a CAFile has the pool that all
// files of that content share.
func profileOf(settings pbx.TLS) (profile, error) {
	p := profile{pool: settings.RootCAs, serverName: settings.ServerName, minVersion: settings.MinVersion, insecure: settings.InsecureSkipVerify}
	if settings.InsecureSkipVerify && (settings.CAFile != "" || settings.RootCAs != nil || settings.PinSHA256 != "") {
		return profile{}, wrong("TLS.InsecureSkipVerify", "TLS: InsecureSkipVerify contradicts CAFile, RootCAs and PinSHA256: remove one side")
	}
	if v := settings.MinVersion; v != 0 && (v < tls.VersionTLS10 || v > tls.VersionTLS13) {
		return profile{}, wrong("TLS.MinVersion", "TLS: MinVersion is no version of TLS: set it to one of crypto/tls, as in tls.VersionTLS12")
	}
	if name := settings.ServerName; name != "" && !isName(name) {
		if _, err := netip.ParseAddr(name); err != nil {
			return profile{}, wrong("TLS.ServerName", "TLS: ServerName is not the name of a host: write it without a scheme and a port, as in pbx.example.com")
		}
	}
	if strings.ContainsFunc(settings.ServerName, func(r rune) bool { return r > unicode.MaxASCII }) {
		return profile{}, wrong("TLS.ServerName", "TLS: ServerName is not ASCII: write an international name as it is in the certificate, in Punycode, as in xn--80a8ac.example")
	}
	if settings.CAFile != "" {
		if settings.RootCAs != nil {
			return profile{}, wrong("TLS.CAFile", "TLS: CAFile and RootCAs are both set: set one")
		}
		pool, err := poolOf(settings.CAFile)
		if err != nil {
			return profile{}, err
		}
		p.pool = pool
	}
	if settings.PinSHA256 != "" {
		encoded := strings.TrimPrefix(settings.PinSHA256, "sha256/")
		sum, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil || len(sum) != sha256.Size {
			return profile{}, wrong("TLS.PinSHA256", "TLS: PinSHA256 is not a base64 SHA-256 of a public key, as in sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=")
		}
		p.pin = "sha256/" + base64.StdEncoding.EncodeToString(sum) // without line breaks, which decoding passes over
	}
	return p, nil
}

// pools holds the pool of each CAFile, by its content, for as long as it is used.
var pools struct {
	sync.Mutex
	byContent map[[sha256.Size]byte]weak.Pointer[x509.CertPool]
}

func poolOf(file string) (*x509.CertPool, error) {
	fault := func(text string) (*x509.CertPool, error) { return nil, wrong("TLS.CAFile", text) }
	if strings.Contains(file, "-----BEGIN") {
		return fault("TLS: CAFile has the certificate itself: write it into a file, and set CAFile to the name of that")
	}
	pem, err := os.ReadFile(file)
	file = fold(file)
	if err != nil {
		if inPath := (*fs.PathError)(nil); errors.As(err, &inPath) {
			err = inPath.Err
		}
		return fault(fmt.Sprintf("TLS: CAFile %s cannot be read: %v", file, err))
	}
	sum := sha256.Sum256(pem)
	pools.Lock()
	defer pools.Unlock()
	if known := pools.byContent[sum].Value(); known != nil {
		return known, nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return fault(fmt.Sprintf("TLS: CAFile %s holds no PEM certificate", file))
	}
	if pools.byContent == nil {
		pools.byContent = map[[sha256.Size]byte]weak.Pointer[x509.CertPool]{}
	}
	made := weak.Make(pool)
	pools.byContent[sum] = made
	runtime.AddCleanup(pool, func(sum [sha256.Size]byte) {
		pools.Lock()
		defer pools.Unlock()
		if pools.byContent[sum] == made {
			delete(pools.byContent, sum)
		}
	}, sum)
	return pool, nil
}

type pinError struct{ want, got string }

func (e *pinError) Error() string {
	return fmt.Sprintf("the PBX's key is not the pinned one: it presents %s and TLS.PinSHA256 is %s; if its certificate was not replaced, another machine responds", e.got, e.want)
}
