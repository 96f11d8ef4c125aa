package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A browser may go away at any moment of a save.
func TestWhatIsInTheFileIsOnThePageAlsoWhenTheBrowserGoes(t *testing.T) {
	r := start(t, filepath.Join(t.TempDir(), "settings.db"))
	for i := range 400 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%100)*7*time.Microsecond)
		r.app.save(ctx, Settings{Name: fmt.Sprintf("Away %d", i), Driver: "avaya", URL: "https://pbx.example"})
		cancel()
	}
	all, err := r.app.db.all(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if _, _, ok := r.app.entry(s.ID); !ok {
			t.Errorf("%s is in the file and not on the page", s.Name)
		}
	}
}

func TestAPBXThatHangsDoesNotKeepOthersFromBeingSaved(t *testing.T) {
	r := start(t, "")
	end := make(chan struct{})
	pbx := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "get_token") {
			fmt.Fprint(w, `{"errcode":0,"errmsg":"SUCCESS","access_token_expire_time":1800,"access_token":"a","refresh_token_expire_time":86400,"refresh_token":"r"}`)
			return
		}
		<-end
	}))
	defer pbx.Close()
	defer close(end)
	saved, err := r.app.save(t.Context(), Settings{Name: "Hangs", Driver: "yeastar-p", URL: pbx.URL, Username: "u", Password: secretOf("p")})
	if err != nil {
		t.Fatal(err)
	}
	r.waitFor(saved, "Live")
	began := time.Now()
	saved.Disconnected = began
	if saved, err = r.app.save(t.Context(), saved); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 2*goodbye {
		t.Errorf("nothing could be saved for %v", took)
	}
	r.waitFor(saved, "Closed")
}
