// Package sdktest holds the simulated Wazo server to the vendor's own client,
// @wazo/sdk from npm: login, requests, refresh, logout, over https. Its tests need
// node (18 or 20) and npm, and are skipped by name without.
package sdktest
