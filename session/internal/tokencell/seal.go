package tokencell

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/pbxauth/pbx"
)

const format = 1

// KeySize is the length of a key in bytes.
const KeySize = 32

// Sealer encrypts records. The first key seals, all open.
type Sealer struct{ keys []key }

type key struct {
	master []byte
	id     string
}

// NewSealer checks the keys. Its errors are one line and hold no key.
func NewSealer(keys [][]byte) (*Sealer, error) {
	if len(keys) == 0 {
		return nil, errors.New("no key: set Keys to at least one random key of 32 bytes, the same in all processes")
	}
	s := &Sealer{}
	for i, k := range keys {
		if len(k) != KeySize {
			return nil, fmt.Errorf("key %d of Keys has %d bytes: it must have %d", i+1, len(k), KeySize)
		}
		if bytes.Count(k, []byte{0}) == KeySize { // from a buffer that nothing was read into
			return nil, fmt.Errorf("key %d of Keys is all zeros: set it to random bytes", i+1)
		}
		sum := sha256.Sum256(append([]byte("pbx key id\x00"), k...))
		id := hex.EncodeToString(sum[:4])
		for j, other := range s.keys {
			if hmac.Equal(other.master, k) {
				return nil, fmt.Errorf("keys %d and %d of Keys are the same: remove one", j+1, i+1)
			}
		}
		s.keys = append(s.keys, key{append([]byte(nil), k...), id})
	}
	return s, nil
}

// Format prints the ids of the keys.
func (s *Sealer) Format(f fmt.State, _ rune) {
	for i, k := range s.keys {
		if i > 0 {
			fmt.Fprint(f, ", ")
		}
		fmt.Fprint(f, "key ", k.id)
	}
}

// FingerprintKey returns a key for fingerprints of credentials that belongs to the
// first key.
func (s *Sealer) FingerprintKey() []byte { return derive(s.keys[0].master, "credentials") }

// derive never fails: the length is fixed and short.
func derive(master []byte, purpose string) []byte {
	out, err := hkdf.Key(sha256.New, master, nil, "github.com/pbxauth/pbx "+purpose, KeySize)
	if err != nil {
		panic(err)
	}
	return out
}

func (k key) aead(name string) cipher.AEAD {
	block, err := aes.NewCipher(derive(k.master, "cell "+name))
	if err != nil {
		panic(err) // the key has 32 bytes
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return aead
}

// envelope is a cell as the store holds it. What is not secret can be read by
// people; all of it is authenticated.
type envelope struct {
	Format     int       `json:"pbx-token"`
	Key        string    `json:"key"`
	Generation uint64    `json:"generation"`
	Writer     string    `json:"writer"`
	Dead       uint64    `json:"dead,omitempty"`
	ExpiresAt  time.Time `json:"expires,omitzero"`
	Claim      *claim    `json:"claim,omitempty"`
	Removed    time.Time `json:"removed,omitzero"`
	Sealed     []byte    `json:"sealed,omitempty"`
}

type claim struct {
	By    string    `json:"by"`
	Op    pbx.Op    `json:"op"`
	Until time.Time `json:"until"`
}

// contents is what is sealed.
type contents struct {
	Value            string          `json:"value"`
	Refresh          string          `json:"refresh,omitempty"`
	IssuedAt         time.Time       `json:"issued"`
	RefreshExpiresAt time.Time       `json:"refresh_expires,omitzero"`
	Details          json.RawMessage `json:"details,omitempty"`
	By               string          `json:"by,omitempty"`
}

// Seal encodes r for the cell with this key of the store.
func (s *Sealer) Seal(name string, r Record) ([]byte, error) {
	e := envelope{
		Format: format, Key: s.keys[0].id, Generation: r.Generation, Writer: r.Writer, Dead: r.Dead,
		ExpiresAt: r.Token.ExpiresAt.UTC().Round(0), Removed: r.Removed.UTC().Round(0),
	}
	if r.Token.ExpiresAt.IsZero() {
		e.ExpiresAt = time.Time{}
	}
	if r.Removed.IsZero() {
		e.Removed = time.Time{}
	}
	if r.Claim.By != "" {
		e.Claim = &claim{r.Claim.By, r.Claim.Op, r.Claim.Until.UTC().Round(0)}
	}
	t := r.Token
	inside := contents{t.Value.Reveal(), t.Refresh.Reveal(), t.IssuedAt, t.RefreshExpiresAt, t.Details, t.By}
	plain, err := json.Marshal(inside)
	if err != nil {
		return nil, errors.New("the token's Details are not JSON")
	}
	e.Sealed = s.keys[0].aead(name).Seal(nil, nil, plain, e.clear(name))
	return json.Marshal(e)
}

// clear is the part of the envelope that is not secret, with the cell's name, so
// that neither can be exchanged.
func (e envelope) clear(name string) []byte {
	e.Sealed = nil
	text, _ := json.Marshal(e) // numbers, strings and times
	return append(text, name...)
}

// IsFirst reports whether the first key sealed what Open has decoded.
func (s *Sealer) IsFirst(data []byte) bool {
	var e envelope
	return json.Unmarshal(data, &e) == nil && e.Key == s.keys[0].id
}

// An UnreadableError says why a cell is left alone. No login is sent for it.
type UnreadableError struct{ Reason string }

func (e *UnreadableError) Error() string { return e.Reason }

func unreadable(reason string) error { return &UnreadableError{reason} }

// Open decodes what Seal wrote. An empty value is the zero Record. Errors are
// *UnreadableError.
func (s *Sealer) Open(name string, data []byte) (Record, error) {
	if len(data) == 0 {
		return Record{}, nil
	}
	var e envelope
	if err := json.Unmarshal(data, &e); err != nil || e.Format < 1 {
		return Record{}, unreadable("the store's cell " + name + " is not one of this library, or is damaged: remove it, or change Prefix")
	}
	if e.Format > format {
		return Record{}, unreadable(fmt.Sprintf("the store's cell %s was written by a newer version of this library (format %d): update this program, or change Prefix", name, e.Format))
	}
	for _, k := range s.keys {
		if k.id != e.Key {
			continue
		}
		plain, err := k.aead(name).Open(nil, nil, e.Sealed, e.clear(name))
		if err != nil {
			break
		}
		var inside contents
		if err := json.Unmarshal(plain, &inside); err != nil {
			break
		}
		return e.record(inside), nil
	}
	if !s.has(e.Key) {
		return Record{}, unreadable(fmt.Sprintf("the store's cell %s is sealed with key %.8q, which this process does not have: add it to Keys, or change Prefix", name, e.Key))
	}
	return Record{}, unreadable("the store's cell " + name + " does not open: it is damaged, or was moved; remove it, or change Prefix")
}

func (s *Sealer) has(id string) bool {
	for _, k := range s.keys {
		if k.id == id {
			return true
		}
	}
	return false
}

func (e envelope) record(inside contents) Record {
	r := Record{
		Generation: e.Generation, Writer: e.Writer, Dead: e.Dead, Removed: e.Removed,
		Token: Token{
			Value: pbx.NewSecret(inside.Value), Refresh: pbx.NewSecret(inside.Refresh),
			IssuedAt: inside.IssuedAt, ExpiresAt: e.ExpiresAt,
			RefreshExpiresAt: inside.RefreshExpiresAt, Details: inside.Details, By: inside.By,
		},
	}
	if e.Claim != nil {
		r.Claim = Claim{e.Claim.By, e.Claim.Op, e.Claim.Until}
	}
	return r
}
