package main

import (
	"context"
	"errors"
	"time"
)

// peer is one way to hold a token. Each is used as its documentation shows, with
// its default options.
type peer struct {
	name string
	open opener // nil: what it does under faults is whatever one writes
	loop looper
	fill filler
}

// peers, ours first.
var peers = []peer{
	{"pbx session", openSession, loopSession, fillSession},
	{"x/oauth2 ReuseTokenSource", openOAuth2, loopOAuth2, fillOAuth2},
	{"aws CredentialsCache", openAWS, loopAWS, fillAWS},
	{"goroutine + timer", nil, loopWatched, fillWatched},
	{"floor: atomic load + time.Since", nil, loopFloor, nil},
}

// login is what all of them call.
type login func(ctx context.Context) (token string, err error)

// errWrongPassword is the one failure of a login here.
var errWrongPassword = errors.New("wrong password")

const tokenLife = 30 * time.Minute

func succeed(context.Context) (string, error) { return "48a7d7481a5355aa4fb5dc285edeb40e", nil }

// opener makes a holder of the token that login brings, and says how to end it.
type opener func(login login) (asker, func())

// asker returns the token, and how to report that it was refused: nil if there
// is no way.
type asker func(ctx context.Context) (token string, refused func(), err error)

// looper makes a holder and asks it n times, with nothing in between to measure.
type looper func() (ask func(n int), done func())

// filler makes n holders that have their token, by name.
type filler func(n int) (done func())
