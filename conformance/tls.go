package conformance

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// Config.TLS excludes a Transport, so these rules are about the driver's own
// connections, and their PBX is at a loopback port. Their time is real, because
// virtual time stands still while anyone waits for a network.
var tlsRules = []Rule{
	{
		ID:      "TLS-01",
		Says:    "A certificate that RootCAs or CAFile vouches for is accepted, by every operation and by Requester.Transport.",
		Why:     "Offices with an authority of their own give its file. If it is not enough, they switch verification off.",
		overTLS: true,
		check:   trustedAuthority,
	},
	{
		ID:      "TLS-02",
		Says:    "A certificate that nothing vouches for is ErrConfig, Sent is false, and the error names the pin that would accept it.",
		Why:     "Factory certificates are self-signed. People who see no better way switch verification off.",
		overTLS: true,
		check:   selfSigned,
	},
	{
		ID:      "TLS-03",
		Says:    "The pin of a certificate's key is enough to trust it, by every operation and by Requester.Transport.",
		Why:     "Names, dates and issuers of factory certificates are made up.",
		overTLS: true,
		check:   pinned,
	},
	{
		ID:      "TLS-04",
		Says:    "A certificate whose key is not the pinned one is ErrConfig, and nothing is sent, even if an authority vouches for it.",
		Why:     "That is what pins are for: another machine responds, and would get the password.",
		overTLS: true,
		check:   wrongPin,
	},
	{
		ID:    "TLS-05",
		Says:  "Settings in TLS together with a Transport are ErrConfig on opening.",
		Why:   "The Transport decides about TLS. A pin that is silently ignored protects nobody.",
		check: tlsWithTransport,
	},
	{
		ID:      "TLS-06",
		Says:    "A certificate that the Transport refuses is ErrConfig, and Sent is false.",
		Why:     "Trying again does not help, a person has to act, and no wrong login can have been counted.",
		overTLS: true,
		check:   refusedByTransport,
	},
	{
		ID:      "TLS-07",
		Says:    "Plain http to a port that speaks https is ErrConfig, Sent is false, and the error says https.",
		Why:     "People write http:// before the address of the PBX. The server cannot read the login, so none was counted.",
		overTLS: true,
		check:   plainToTLS,
	},
}

func plainToTLS(t *testbed) error {
	auth, err := t.open(func(c *pbx.Config) {
		c.Transport, c.URL = nil, strings.Replace(c.URL, "https:", "http:", 1)
	})
	if err != nil {
		return err
	}
	err = noToken(auth.Login(context.Background()))
	if wrong := errors.Join(ofKind(err, pbx.ErrConfig), sent(err, false)); wrong != nil {
		return wrong
	}
	if !strings.Contains(err.Error(), "https") {
		return fmt.Errorf("the error does not say https: %w", err)
	}
	return nil
}

// dialing is the driver with its own connections.
func (t *testbed) dialing(settings pbx.TLS) (*observedDriver, error) {
	auth, err := t.open(func(c *pbx.Config) { c.Transport, c.TLS = nil, settings })
	return auth, at("opening with these settings in TLS", err)
}

// reaches uses every way to the PBX that the driver has.
func (t *testbed) reaches(settings pbx.TLS) error {
	auth, err := t.dialing(settings)
	if err != nil {
		return err
	}
	t.auth = auth
	t.sim.Restart() // to make room for these tokens
	token, err := t.login()
	if err != nil {
		return err
	}
	if requester(t) == "" {
		if err := t.call(token); err != nil {
			return err
		}
	}
	for _, op := range t.operations(token)[1:] { // all but the login
		if err := op.run(context.Background()); err != nil {
			return at(op.name, err)
		}
	}
	return nil
}

// pinOf is made here from the definition, so that a driver cannot agree with
// itself about a wrong one.
func pinOf(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return "sha256/" + base64.StdEncoding.EncodeToString(sum[:])
}

func pool(cert *x509.Certificate) *x509.CertPool {
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return roots
}

func trustedAuthority(t *testbed) error {
	cert := t.server.Certificate()
	if err := t.reaches(pbx.TLS{RootCAs: pool(cert)}); err != nil {
		return at("RootCAs", err)
	}
	file, err := os.CreateTemp("", "pbx-conformance-*.pem")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	err = pem.Encode(file, &pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	return at("CAFile", t.reaches(pbx.TLS{CAFile: file.Name()}))
}

func selfSigned(t *testbed) error {
	auth, err := t.dialing(pbx.TLS{})
	if err != nil {
		return err
	}
	err = t.untrusted(auth)
	if err != nil {
		return err
	}
	err = noToken(auth.Login(context.Background()))
	if !strings.Contains(err.Error(), pinOf(t.server.Certificate())) {
		return fmt.Errorf("the error does not name the pin of the PBX's certificate: %w", err)
	}
	return nil
}

// untrusted checks a login over a certificate that is not trusted.
func (t *testbed) untrusted(auth *observedDriver) error {
	err := noToken(auth.Login(context.Background()))
	if n := t.sim.Counts().Requests; n != 0 {
		return fmt.Errorf("%d requests reach a PBX that is not trusted", n)
	}
	return errors.Join(ofKind(err, pbx.ErrConfig), sent(err, false))
}

func pinned(t *testbed) error {
	pin := pinOf(t.server.Certificate())
	if err := t.reaches(pbx.TLS{PinSHA256: pin}); err != nil {
		return err
	}
	return at("without the prefix", t.reaches(pbx.TLS{PinSHA256: strings.TrimPrefix(pin, "sha256/")}))
}

func wrongPin(t *testbed) error {
	other := pbxsim.ListenTLS(t.sim)
	defer other.Close()
	pin := pinOf(other.Certificate())
	for where, settings := range map[string]pbx.TLS{
		"the pin alone":           {PinSHA256: pin},
		"the pin and RootCAs":     {PinSHA256: pin, RootCAs: pool(t.server.Certificate())},
		"RootCAs of another, too": {PinSHA256: pinOf(t.server.Certificate()), RootCAs: pool(other.Certificate())},
	} {
		auth, err := t.dialing(settings)
		if err != nil {
			return at(where, err)
		}
		if err := t.untrusted(auth); err != nil {
			return at(where, err)
		}
	}
	return nil
}

func tlsWithTransport(t *testbed) error {
	for name, settings := range map[string]pbx.TLS{
		"PinSHA256":          {PinSHA256: "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="},
		"RootCAs":            {RootCAs: x509.NewCertPool()},
		"ServerName":         {ServerName: "pbx.example.com"},
		"InsecureSkipVerify": {InsecureSkipVerify: true},
	} {
		_, err := t.open(func(c *pbx.Config) { c.TLS = settings })
		if wrong := ofKind(err, pbx.ErrConfig); wrong != nil {
			return at(name, wrong)
		}
	}
	return nil
}

func refusedByTransport(t *testbed) error {
	distrustful := t.server.Client().Transport.(*http.Transport).Clone()
	distrustful.TLSClientConfig = &tls.Config{RootCAs: x509.NewCertPool()}
	auth, err := t.open(func(c *pbx.Config) { c.Transport = distrustful })
	if err != nil {
		return err
	}
	return t.untrusted(auth)
}
