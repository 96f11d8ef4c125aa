//go:build !race

package lockout

const raceBuild = false
