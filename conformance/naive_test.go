package conformance

import (
	"context"
	"crypto/md5"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/yeastar"
)

// naive is a client for Yeastar as they are found in the field. It works, as
// long as the PBX does.
type naive struct{ cfg pbx.Config }

func naiveDriver() Harness {
	return broken(func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
		if _, err := good(cfg); err != nil {
			return nil, err
		}
		return naive{cfg}, nil
	})
}

func (n naive) Login(ctx context.Context) (*pbx.Token, error) {
	body := fmt.Sprintf(`{"username":"%s","password":"%x","port":"8260"}`, n.cfg.Username, md5.Sum([]byte(n.cfg.Password.Reveal())))
	answer, err := n.post(ctx, pbx.OpLogin, "login", body)
	if err != nil {
		return nil, err
	}
	var fields struct{ Token string }
	if json.Unmarshal(answer, &fields) != nil {
		return nil, &pbx.Error{Driver: yeastar.Name, Op: pbx.OpLogin, Kind: pbx.ErrProtocol, Sent: true, Message: "cannot read " + string(answer)}
	}
	return &pbx.Token{Value: pbx.NewSecret(fields.Token), IssuedAt: time.Now(), Details: answer}, nil
}

func (n naive) KeepAlive(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
	if _, err := n.post(ctx, pbx.OpKeepAlive, "heartbeat?token="+t.Value.Reveal(), "{}"); err != nil {
		return nil, err
	}
	return extendedLocally(t), nil
}

func (n naive) Logout(ctx context.Context, t *pbx.Token) error {
	_, err := n.post(ctx, pbx.OpLogout, "logout?token="+t.Value.Reveal(), "")
	return err
}

func (n naive) post(ctx context.Context, op pbx.Op, path, body string) ([]byte, error) {
	unavailable := func(err error) error {
		return &pbx.Error{Driver: yeastar.Name, Op: op, Kind: pbx.ErrUnavailable, Sent: true, Err: err}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, n.cfg.URL+"/api/v1.1.0/"+path, strings.NewReader(body))
	if err != nil {
		return nil, unavailable(err)
	}
	resp, err := (&http.Client{Transport: n.cfg.Transport}).Do(r)
	if err != nil {
		return nil, unavailable(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, unavailable(err)
	}
	return answer, nil
}
