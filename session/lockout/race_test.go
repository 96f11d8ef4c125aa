//go:build race

package lockout

const raceBuild = true
