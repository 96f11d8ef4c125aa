package main

import (
	"context"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

func credentialsCache(login login) *aws.CredentialsCache {
	return aws.NewCredentialsCache(aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
		value, err := login(ctx)
		if err != nil {
			return aws.Credentials{}, err
		}
		// Without the first two it takes the credentials for none and keeps nothing.
		return aws.Credentials{AccessKeyID: "api", SecretAccessKey: "-", SessionToken: value, CanExpire: true, Expires: time.Now().Add(tokenLife)}, nil
	}))
}

func openAWS(login login) (asker, func()) {
	cache := credentialsCache(login)
	return func(ctx context.Context) (string, func(), error) {
		c, err := cache.Retrieve(ctx)
		if err != nil {
			return "", nil, err
		}
		return c.SessionToken, cache.Invalidate, nil
	}, func() {}
}

func loopAWS() (ask func(n int), done func()) {
	ctx := context.Background()
	cache := credentialsCache(succeed)
	return func(n int) {
		for range n {
			if _, err := cache.Retrieve(ctx); err != nil {
				panic(err)
			}
		}
	}, func() {}
}

func fillAWS(n int) (done func()) {
	caches := map[string]*aws.CredentialsCache{}
	for i := range n {
		cache := credentialsCache(succeed)
		if _, err := cache.Retrieve(context.Background()); err != nil {
			panic(err)
		}
		caches["customer-"+strconv.Itoa(i)] = cache
	}
	return func() { clear(caches) }
}
