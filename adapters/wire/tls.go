package wire

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"
	"weak"

	"github.com/pbxauth/pbx"
)

// profile is one way of trusting certificates, comparable so that all PBXs that
// share it share their connections too.
type profile struct {
	roots      [sha256.Size]byte // of CAFile's content
	pool       *x509.CertPool
	pin        string
	serverName string
	minVersion uint16
	insecure   bool
}

// senders holds one per profile for as long as a Client uses it: the transport of
// each has its own idle connections, at 20 KB and two goroutines apiece.
var senders struct {
	sync.Mutex
	byProfile map[profile]weak.Pointer[sender]
}

func shared(settings pbx.TLS) (*sender, error) {
	key := profile{serverName: settings.ServerName, minVersion: settings.MinVersion, insecure: settings.InsecureSkipVerify}
	config := &tls.Config{
		ServerName:         settings.ServerName,
		MinVersion:         settings.MinVersion,
		InsecureSkipVerify: settings.InsecureSkipVerify,
		ClientSessionCache: tls.NewLRUClientSessionCache(256),
	}
	trusts := settings.CAFile != "" || settings.RootCAs != nil
	if settings.InsecureSkipVerify && (trusts || settings.PinSHA256 != "") {
		return nil, errors.New("TLS: InsecureSkipVerify contradicts CAFile, RootCAs and PinSHA256: remove one side")
	}
	switch {
	case settings.CAFile != "" && settings.RootCAs != nil:
		return nil, errors.New("TLS: CAFile and RootCAs are both set: set one")
	case settings.CAFile != "":
		pem, err := os.ReadFile(settings.CAFile)
		if err != nil {
			return nil, fmt.Errorf("TLS: CAFile: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("TLS: CAFile %s holds no PEM certificate", settings.CAFile)
		}
		key.roots = sha256.Sum256(pem)
	case settings.RootCAs != nil:
		config.RootCAs, key.pool = settings.RootCAs, settings.RootCAs
	}
	if settings.PinSHA256 != "" {
		pin, err := parsePin(settings.PinSHA256)
		if err != nil {
			return nil, err
		}
		key.pin = pin
		// The pin replaces the chain only where no authority is given.
		config.InsecureSkipVerify = !trusts
		// VerifyConnection, unlike VerifyPeerCertificate, also runs on resumption.
		config.VerifyConnection = func(state tls.ConnectionState) error {
			if got := pbx.Pin(state.PeerCertificates[0]); got != pin {
				return &pinError{want: pin, got: got}
			}
			return nil
		}
	}

	senders.Lock()
	defer senders.Unlock()
	if known := senders.byProfile[key].Value(); known != nil {
		return known, nil
	}
	added := newSender(&http.Transport{
		Proxy:       http.ProxyFromEnvironment,
		DialContext: (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		// Over any profile's PBXs together, so that a fleet does not hold a
		// connection each. Most PBXs close theirs anyway.
		MaxIdleConns:          100,
		MaxIdleConnsPerHost:   2,
		IdleConnTimeout:       30 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 2 * time.Minute,
		TLSClientConfig:       config,
	})
	if senders.byProfile == nil {
		senders.byProfile = map[profile]weak.Pointer[sender]{}
	}
	made := weak.Make(added)
	senders.byProfile[key] = made
	runtime.AddCleanup(added, func(key profile) {
		senders.Lock()
		defer senders.Unlock()
		if senders.byProfile[key] == made {
			delete(senders.byProfile, key)
		}
	}, key)
	return added, nil
}

func parsePin(pin string) (string, error) {
	encoded := strings.TrimPrefix(pin, "sha256/")
	if sum, err := base64.StdEncoding.DecodeString(encoded); err != nil || len(sum) != sha256.Size {
		return "", errors.New("TLS: PinSHA256 is not a base64 SHA-256 of a public key, as in sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=")
	}
	return "sha256/" + encoded, nil
}

type pinError struct{ want, got string }

func (e *pinError) Error() string {
	return fmt.Sprintf("the PBX's key is not the pinned one: it presents %s where TLS.PinSHA256 is %s; if its certificate was not replaced, somebody else answers", e.got, e.want)
}
