package main

import (
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/pbxauth/pbx"
)

// report is what -json prints; the package's doc explains it.
type report struct {
	Driver string `json:"driver"`
	Host   string `json:"host"`
	Steps  []step `json:"steps"`
	Token  *life  `json:"token"`
	OK     bool   `json:"ok"`
}

type step struct {
	Name  string `json:"name"`
	OK    bool   `json:"ok"`
	MS    int64  `json:"ms"`
	Kind  string `json:"kind"`
	Error string `json:"error"`
}

type life struct {
	ExpiresInS *int64 `json:"expires_in_s"`
	Sliding    *bool  `json:"sliding"`
}

func (r *report) print(out io.Writer) {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	encoder.Encode(r) // to a broken pipe there is nothing to say
}

// leftOut is the reason of a step that was not taken, and need not be.
type leftOut string

func (reason leftOut) Error() string { return string(reason) }

// errInterrupted is the failure of the step at which an interrupt was met.
var errInterrupted = errors.New("interrupted")

// kindOf names the kind of a step's error.
func kindOf(err error) string {
	var reason leftOut
	var early *remembered
	var failure *pbx.Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &reason):
		return "skipped"
	case errors.As(err, &early):
		return "remembered"
	case errors.Is(err, errInterrupted):
		return "interrupted"
	case errors.As(err, &failure) && failure.Kind != nil:
		return failure.Kind.Error()
	}
	return "unknown"
}

// lifeOf is what a token and its driver tell about its life.
func lifeOf(t *pbx.Token, auth pbx.Authenticator) *life {
	var l life
	if !t.ExpiresAt.IsZero() {
		seconds := int64(t.ExpiresAt.Sub(t.IssuedAt) / time.Second)
		l.ExpiresInS = &seconds
	}
	if d, ok := auth.(pbx.Describer); ok {
		sliding := d.Traits().Sliding
		l.Sliding = &sliding
	}
	return &l
}

func (l *life) String() string {
	told := "lives"
	if l.ExpiresInS == nil {
		told = "has no known end"
	} else {
		told += " " + (time.Duration(*l.ExpiresInS) * time.Second).String()
	}
	switch {
	case l.Sliding == nil || l.ExpiresInS == nil:
		return told
	case *l.Sliding:
		return told + ", and any call prolongs it"
	}
	return told + ", which calls do not prolong"
}
