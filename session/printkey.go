package session

import (
	"context"
	"encoding/hex"
	"errors"
	"sync/atomic"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session/internal/tokencell"
)

// printKey is the key of fingerprints where the store has none of its own. It is in a
// cell, sealed like a token, so that refused and proven credentials are known after a
// change of [SharedSettings].Keys.
type printKey struct {
	store *backing
	known atomic.Pointer[[]byte] // nil: not read yet
	lost  atomic.Bool            // the store may have forgotten it
}

// read returns the key, which the first process makes. It reads the store once, and
// again when that may have forgotten the key.
func (k *printKey) read(ctx context.Context) ([]byte, error) {
	known := k.known.Load()
	if known != nil && !k.lost.Load() {
		return *known, nil
	}
	key, err := k.agree(ctx, known)
	switch {
	case err == nil:
		k.known.Store(&key)
		k.lost.Store(false)
	case known != nil:
		return *known, nil
	default:
		err = &pbx.Error{Op: pbx.OpLogin, Kind: pbx.ErrUnavailable, Err: err, Message: "not sent: the store's key of fingerprints is not known"}
	}
	return key, err
}

// agree returns the key that the store has, or puts one there. It has the first of Keys
// seal the key.
func (k *printKey) agree(ctx context.Context, known *[]byte) ([]byte, error) {
	b := k.store
	key := b.sealer.FingerprintKey()
	if known != nil {
		key = *known
	}
	cell := tokencell.PrintKey(b.prefix)
	e, err := b.Load(ctx, cell)
	for range mostSwaps {
		if err != nil {
			return nil, err
		}
		if e.Rev != 0 {
			record, err := b.sealer.Open(cell, e.Value)
			if err != nil {
				return nil, err
			}
			if key, err = hex.DecodeString(record.Token.Value.Reveal()); err != nil || b.sealer.IsFirst(e.Value) {
				return key, err
			}
		}
		var data []byte
		if data, err = b.sealer.Seal(cell, tokencell.Record{Writer: b.writer(), Token: tokencell.Token{Value: pbx.NewSecret(hex.EncodeToString(key))}}); err != nil {
			return nil, err
		}
		var won bool
		if e, won, err = b.Swap(ctx, cell, e.Rev, data, 0); won {
			return key, nil
		}
	}
	return nil, errors.New("other processes change it all the time")
}
