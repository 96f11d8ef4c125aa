package pbxsim

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"net"
	"time"
)

// A TLSFault is what a person has to fix on a PBX whose TLS a Go client refuses.
type TLSFault int

const (
	CommonNameOnly TLSFault = iota + 1 // the certificate has a common name and no SAN
	NegativeSerial                     // the certificate has a negative serial number
	RSAKeyExchange                     // no cipher suite but those with RSA key exchange
	OldTLS                             // TLS 1.0
)

// selfSigned returns a new certificate for the loopback address.
func selfSigned(fault TLSFault) *tls.Certificate {
	var key crypto.Signer
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if fault == RSAKeyExchange {
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		panic(err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "pbxsim"},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.AddDate(1, 0, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		IsCA:                  true, // so that it can be trusted as it stands
		DNSNames:              []string{"localhost"},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	if fault == CommonNameOnly {
		template.Subject.CommonName, template.DNSNames, template.IPAddresses = "127.0.0.1", nil, nil
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	if fault == NegativeSerial {
		return &tls.Certificate{Certificate: [][]byte{negate(der, key)}, PrivateKey: key}
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// negate gives a certificate whose serial number is 1 the serial number -1, which
// crypto/x509 neither writes nor reads, and signs it anew with its ECDSA key.
func negate(der []byte, key crypto.Signer) []byte {
	var certificate struct {
		TBS       asn1.RawValue
		Algorithm asn1.RawValue
		Signature asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &certificate); err != nil {
		panic(err)
	}
	signed := bytes.Replace(certificate.TBS.FullBytes, []byte{asn1.TagInteger, 1, 1}, []byte{asn1.TagInteger, 1, 0xff}, 1)
	sum := sha256.Sum256(signed)
	signature, err := key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		panic(err)
	}
	certificate.TBS.FullBytes = signed
	certificate.Signature = asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}
	if der, err = asn1.Marshal(certificate); err != nil {
		panic(err)
	}
	return der
}

// tlsConfig returns the settings of a server.
func (f TLSFault) tlsConfig(cert *tls.Certificate) *tls.Config {
	config := &tls.Config{Certificates: []tls.Certificate{*cert}}
	switch f {
	case RSAKeyExchange:
		config.MaxVersion = tls.VersionTLS12
		config.CipherSuites = []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_128_CBC_SHA}
	case OldTLS:
		config.MinVersion, config.MaxVersion = tls.VersionTLS10, tls.VersionTLS10
	}
	return config
}
