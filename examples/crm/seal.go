package main

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
)

// masterKey is the secret from which all keys of this program are derived.
type masterKey [32]byte

// Environment variables.
const (
	keyVariable   = "CRM_KEY"
	storeVariable = "CRM_STORE"
)

// readKey reads the key as an environment variable holds it.
func readKey(text string) (masterKey, error) {
	var key masterKey
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(raw) != len(key) {
		return key, fmt.Errorf("%s is not a key: set it to 32 random bytes in base64, as `openssl rand -base64 32` prints them, and keep it", keyVariable)
	}
	return masterKey(raw), nil
}

func newKey() masterKey {
	var key masterKey
	rand.Read(key[:])
	return key
}

// derive returns the key for one use, so that no two uses share one.
func (k masterKey) derive(use string) []byte {
	derived, err := hkdf.Key(sha256.New, k[:], nil, "crm "+use, 32)
	if err != nil {
		panic(err) // only for absurd lengths
	}
	return derived
}

// sealer encrypts what the settings file must not show. What it seals opens
// only beside the same bound text: a password cannot be moved to the row of
// another address or key.
type sealer struct{ aead cipher.AEAD }

func newSealer(k masterKey) sealer {
	block, err := aes.NewCipher(k.derive("seal"))
	if err != nil {
		panic(err) // only for a wrong length
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return sealer{aead}
}

func (s sealer) seal(plain []byte, bound string) []byte {
	return s.aead.Seal(nil, nil, plain, []byte(bound))
}

var errSealed = errors.New("the settings file was sealed with another key: start with the key that wrote it, or with an empty file")

func (s sealer) open(sealed []byte, bound string) ([]byte, error) {
	plain, err := s.aead.Open(nil, nil, sealed, []byte(bound))
	if err != nil {
		return nil, errSealed
	}
	return plain, nil
}
