package main

import (
	"context"
	"strconv"
	"time"

	"golang.org/x/oauth2"
)

type tokenSource struct{ login login }

func (s tokenSource) Token() (*oauth2.Token, error) { // the interface has no context
	value, err := s.login(context.Background())
	if err != nil {
		return nil, err
	}
	return &oauth2.Token{AccessToken: value, Expiry: time.Now().Add(tokenLife)}, nil
}

func openOAuth2(login login) (asker, func()) {
	source := oauth2.ReuseTokenSource(nil, tokenSource{login})
	return func(context.Context) (string, func(), error) {
		t, err := source.Token()
		if err != nil {
			return "", nil, err
		}
		return t.AccessToken, nil, nil
	}, func() {}
}

func loopOAuth2() (ask func(n int), done func()) {
	source := oauth2.ReuseTokenSource(nil, tokenSource{succeed})
	return func(n int) {
		for range n {
			if _, err := source.Token(); err != nil {
				panic(err)
			}
		}
	}, func() {}
}

func fillOAuth2(n int) (done func()) {
	sources := map[string]oauth2.TokenSource{}
	for i := range n {
		source := oauth2.ReuseTokenSource(nil, tokenSource{succeed})
		if _, err := source.Token(); err != nil {
			panic(err)
		}
		sources["customer-"+strconv.Itoa(i)] = source
	}
	return func() { clear(sources) }
}
